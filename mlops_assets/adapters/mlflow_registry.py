"""The registry on an MLflow server: versions, aliases and tags in its database, files among its run's artifacts.

Here: ``MlflowRegistry``. Belongs here: how a promise of ``registry`` is kept with MLflow's client.
Does not: the promises (``registry``), the connection (``mlflow_server``), MLflow runs (``resources.mlflow``).
"""

import datetime
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.experiments import Experiments
from mlops_assets.adapters.mlflow_server import answers, is_missing
from mlops_assets.adapters.registry import (
    CUTOFF_TAG,
    DIGEST_TAG,
    UNSIGNED,
    RegisteredModel,
    Registry,
    RegistryCorrupt,
    RegistryUnavailable,
    VersionMissing,
    read_files,
    write_files,
)
from mlops_assets.adapters.signatures import Signatures
from mlops_assets.contracts import ModelVersion
from mlops_assets.ml.bundles import bundle_digest, digest_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.entities.model_registry import RegisteredModel as MlflowModel

DOCUMENTS_TAG = "documents"
"""Version tag: JSON of path -> SHA-256. Kept apart from the files: a changed document cannot vouch for itself."""
PAGE = 1000
"""Models for one request: the most that MLflow gives."""
TRANSFERS = "transfers"
"""MLflow experiment of the versions that were trained elsewhere."""


class MlflowRegistry(Registry):
    """Versions on the MLflow server at ``tracking_uri``.

    The files of a version lie below its run's artifacts in ``bundle/<digest>/`` and ``documents/<digest>/``: a run
    that registers two bundles never writes one over the other.
    """

    def __init__(self, tracking_uri: str, signatures: Signatures = UNSIGNED, environment: str = "") -> None:
        """``environment`` keeps its versions apart on a server that several share: ``production.arrival_delay``."""
        super().__init__(signatures)
        self.tracking_uri = tracking_uri
        self.environment = environment

    def _named(self, name: str) -> str:
        """The name on the server."""
        return f"{self.environment}.{name}" if self.environment else name

    @property
    def address(self) -> str:
        """As in Registry."""
        return (
            f"{self.tracking_uri.rstrip('/')}#{self.environment}" if self.environment else self.tracking_uri.rstrip("/")
        )

    def open_run(self, label: str) -> str:
        """As in Registry."""
        experiments = Experiments(self.tracking_uri, TRANSFERS, owner_tag="transfer")
        run_id = experiments.find_or_create(label, label, {})
        experiments.end(run_id, "FINISHED", None)
        return run_id

    def _add(
        self,
        name: str,
        run_id: str,
        bundle: Mapping[str, bytes],
        documents: Mapping[str, bytes],
        digest: str,
        tags: Mapping[str, str],
    ) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        recorded = json.dumps({path: digest_of(content) for path, content in documents.items()}, sort_keys=True)
        try:
            with answers(self.tracking_uri) as client:
                root = client.get_run(run_id).info.artifact_uri
                self._upload(client, run_id, {"bundle": bundle, "documents": documents}, digest)
                self._read_back(f"{root}/bundle/{digest}", digest)
                self._ensure_model(name)
                added = client.create_model_version(
                    name=self._named(name),
                    source=f"{root}/bundle/{digest}",
                    run_id=run_id,
                    tags={**tags, DOCUMENTS_TAG: recorded},
                )
        except MlflowException as error:
            raise _missing_or(error, f"the registry has no run {run_id}") from error
        return _told(added, name, {})

    def _upload(
        self, client: "MlflowClient", run_id: str, kinds: Mapping[str, Mapping[str, bytes]], digest: str
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for kind, files in kinds.items():
                write_files(Path(folder) / kind / digest, files)
            client.log_artifacts(run_id, folder)

    def _read_back(self, source: str, digest: str) -> None:
        """Raise RegistryCorrupt when the store does not give the bundle back as it was: before anybody can see it."""
        with tempfile.TemporaryDirectory() as folder:
            if (found := bundle_digest(read_files(self._copy(source, Path(folder))))) != digest:
                raise RegistryCorrupt(f"the artifact store gave {found} back for {digest}: nothing was registered")

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        with answers(self.tracking_uri) as client:
            try:
                client.create_registered_model(self._named(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def models(self) -> list[str]:
        """As in Registry."""
        with answers(self.tracking_uri) as client:
            page = client.search_registered_models()
            found = list(page)
            while page.token:
                page = client.search_registered_models(page_token=page.token)
                found.extend(page)
        return sorted(model.name for model in found)

    def model(self, name: str) -> RegisteredModel:
        """As in Registry."""
        from mlflow.exceptions import MlflowException

        try:
            with answers(self.tracking_uri) as client:
                found = client.get_registered_model(self._named(name))
        except MlflowException as error:
            if not is_missing(error):
                raise
            return RegisteredModel(name=name)
        return _as_a_whole(found, name)

    def models_at_once(self, prefix: str = "") -> dict[str, RegisteredModel]:
        """As in Registry."""
        start = self._named(prefix)
        told = start.replace("'", "''")
        # In LIKE an underscore is any letter: what came is compared again.
        wanted, found, token = f"name LIKE '{told}%'" if start else None, {}, None
        while True:
            with answers(self.tracking_uri) as client:
                page = client.search_registered_models(wanted, max_results=PAGE, page_token=token)
            for model in page:
                if model.name.startswith(start):
                    name = model.name.removeprefix(self._named(""))
                    found[name] = _as_a_whole(model, name)
            if not (token := page.token):
                return found

    def versions(self, name: str) -> list[ModelVersion]:
        """As in Registry."""
        wanted = f"name='{self._named(name)}'"
        with answers(self.tracking_uri) as client:
            page = client.search_model_versions(wanted)
            found = list(page)
            while page.token:
                page = client.search_model_versions(wanted, page_token=page.token)
                found.extend(page)
        aliases = self.model(name).aliases if found else {}
        return sorted((_told(v, name, aliases) for v in found), key=lambda v: v.version)

    def version(self, name: str, number: int) -> ModelVersion:
        """As in Registry."""
        return _told(self._version(name, number), name, self.model(name).aliases)

    def _version(self, name: str, number: int) -> "MlflowVersion":
        from mlflow.exceptions import MlflowException

        try:
            with answers(self.tracking_uri) as client:
                return client.get_model_version(self._named(name), str(number))
        except MlflowException as error:
            raise _missing_or(error, f"{name} has no version {number} in the registry") from error

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """As in Registry."""
        self._version(name, version)
        with answers(self.tracking_uri) as client:
            client.set_registered_model_alias(self._named(name), alias, str(version))

    def clear_alias(self, name: str, alias: str) -> None:
        """As in Registry."""
        if alias not in self.model(name).aliases:
            return
        with answers(self.tracking_uri) as client:
            client.delete_registered_model_alias(self._named(name), alias)

    def tag(self, name: str, version: int, key: str, value: str) -> None:
        """As in Registry."""
        self._version(name, version)
        with answers(self.tracking_uri) as client:
            client.set_model_version_tag(self._named(name), str(version), key, value)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """As in Registry."""
        from mlflow.exceptions import MlflowException

        try:
            with answers(self.tracking_uri) as client:
                client.set_registered_model_tag(self._named(name), key, value)
        except MlflowException as error:
            raise _missing_or(error, f"no model named {name} in the registry") from error

    def documents(self, name: str, version: int) -> dict[str, str]:
        """As in Registry."""
        return json.loads(self._version(name, version).tags.get(DOCUMENTS_TAG, "{}"))

    def _read_document(self, name: str, version: int, path: str) -> bytes:
        source = self._source(name, version)
        root, _, digest = source.rpartition("/bundle/")
        with tempfile.TemporaryDirectory() as folder:
            return self._copy(f"{root}/documents/{digest}/{path}", Path(folder)).read_bytes()

    def _fetch(self, version: ModelVersion, into: Path) -> None:
        source = self._source(version.name, version.version)
        with tempfile.TemporaryDirectory(dir=into.parent) as folder:
            self._copy(source, Path(folder)).rename(into)

    def _source(self, name: str, version: int) -> str:
        """Where its files are. A copy that MLflow made names another version instead, which has its own place."""
        source = self._version(name, version).source or ""
        if not source.startswith("models:"):
            return source
        with answers(self.tracking_uri) as client:
            return client.get_model_version_download_uri(self._named(name), str(version))

    def _copy(self, source: str, folder: Path) -> Path:
        """Copy a file or a folder out of the artifact store. Raises RegistryCorrupt when that cannot be done."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        try:
            with answers(self.tracking_uri):
                return Path(download_artifacts(source, dst_path=str(folder), tracking_uri=self.tracking_uri))
        except RegistryUnavailable:
            raise
        except (MlflowException, RequestException, OSError) as error:
            raise RegistryCorrupt(f"{source} cannot be read from the registry's artifact store: {error}") from error


def _as_a_whole(model: "MlflowModel", name: str) -> RegisteredModel:
    aliases = {alias: int(number) for alias, number in model.aliases.items()}
    return RegisteredModel(name=name, aliases=aliases, tags=dict(model.tags))


def _told(version: "MlflowVersion", name: str, aliases: Mapping[str, int]) -> ModelVersion:
    number = int(version.version)
    created = datetime.datetime.fromtimestamp(version.creation_timestamp / 1000, datetime.UTC)
    return ModelVersion(
        name=name,
        version=number,
        digest=version.tags.get(DIGEST_TAG, ""),
        cutoff_day=version.tags.get(CUTOFF_TAG, ""),
        mlflow_run_id=version.run_id or "",
        created_at=created.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        aliases=tuple(sorted(alias for alias, holder in aliases.items() if holder == number)),
        tags={key: value for key, value in version.tags.items() if key != DOCUMENTS_TAG},
    )


def _missing_or(error: Exception, message: str) -> Exception:
    return VersionMissing(message) if is_missing(error) else error
