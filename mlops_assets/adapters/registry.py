"""The registry of models: versions by digest, the aliases that say what should serve, and every version's documents.

Here: the ``Registry`` interface, its errors and the checks that every registry makes.
Belongs here: what every registry must promise (digests and signatures that are checked, idempotent registration).
Does not: the implementations (``memory_registry``, ``mlflow_registry``); keys (``adapters.signatures``); deciding which
version holds which arm (``ml.releases``, ``ml.policy``); moving an arm (only ``adapters.releases`` calls ``set_alias``
and ``clear_alias``).
"""

import datetime
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlops_assets.adapters.signatures import SignatureRefused, Signatures
from mlops_assets.contracts import ModelVersion, to_json
from mlops_assets.ml.bundles import bundle_digest, digest_of

CUTOFF_TAG, TRAINING_SET_TAG, COMMIT_TAG = "cutoff_day", "training_set_digest", "code_commit"
DIGEST_TAG = "digest"
DOCUMENTS_DIGEST_TAG = "documents_digest"
"""One digest over every document, made as a bundle's is."""
SIGNATURE_TAG = "signature"
SIGNED_TAGS = (DIGEST_TAG, DOCUMENTS_DIGEST_TAG, CUTOFF_TAG, TRAINING_SET_TAG, COMMIT_TAG)
UNSIGNED = Signatures()


class RegistryUnavailable(ConnectionError):
    """The registry does not answer. Says where it was looked for and what to do."""

    def __init__(self, address: str, cause: object) -> None:
        remedy = "set MLOPS_REGISTRY_URI (of production: MLOPS_PRODUCTION_URI) to a running MLflow server's address."
        told = f"the model registry at {address} does not answer ({cause}). Start it with `mlops up`, or"
        super().__init__(f"{told} {remedy}")


class RegistryCorrupt(ValueError):
    """What the registry gave back is not what was registered: a file is missing, added or changed."""

    why = "corrupt"


class VersionMissing(LookupError):
    """The registry knows no such version or document."""


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """What a registry says of a model as a whole: all that a server must poll, in one request."""

    name: str
    aliases: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class Registry(ABC):
    """Versions of models. Every method raises ``RegistryUnavailable`` when the registry does not answer."""

    def __init__(self, signatures: Signatures = UNSIGNED) -> None:
        self.signatures = signatures

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it is, and which environment's: two registries with one address are the same one."""

    @abstractmethod
    def open_run(self, label: str) -> str:
        """Id of a run to register under, for a version that was not trained here; the same label gives the same run."""

    def register(
        self,
        name: str,
        run_id: str,
        bundle: Mapping[str, bytes],
        documents: Mapping[str, bytes],
        digest: str,
        tags: Mapping[str, str],
        signature: str | None = None,
    ) -> ModelVersion:
        """Register one bundle with its documents (manifest, evaluation, card ...) under its digest, signed.

        The same digest with the same run again returns the version that exists. ``tags`` must tell the cut-off day.
        ``signature`` is one that the version brings along; without, it is signed here if there is a private key.
        Raises ValueError when the digest is not the bundle's, a path leaves its folder, or the tag is missing, and
        SignatureRefused; nothing is written then.
        """
        check_registration(bundle, documents, digest, tags)
        for known in self.versions(name):
            if (known.mlflow_run_id, known.digest) == (run_id, digest):
                return known
        sealed = {**tags, DIGEST_TAG: digest, DOCUMENTS_DIGEST_TAG: bundle_digest(documents)}
        signature = signature or self.signatures.sign(signed_files(name, bundle, documents, sealed))
        signed = {**sealed, SIGNATURE_TAG: signature} if signature else sealed
        return self._add(name, run_id, bundle, documents, digest, signed)

    def sign(self, name: str, version: int) -> None:
        """Sign a version that is registered already, as it is now held against its digests.

        Raises SignatureRefused without a private key, VersionMissing, RegistryCorrupt.
        """
        files = self._whole(name, version)
        signature = self.signatures.sign(files)
        if signature is None:
            raise SignatureRefused("nothing to sign with: set MLOPS_SIGNING_KEY to a private key (`mlops keys create`)")
        self.tag(name, version, SIGNATURE_TAG, signature)

    @abstractmethod
    def _add(
        self,
        name: str,
        run_id: str,
        bundle: Mapping[str, bytes],
        documents: Mapping[str, bytes],
        digest: str,
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Write the files first, the version last, so that a version never lacks its files."""

    @abstractmethod
    def models(self) -> list[str]:
        """The names of all registered models, in order."""

    @abstractmethod
    def model(self, name: str) -> RegisteredModel:
        """Aliases and tags of a model; both empty for a model nobody registered."""

    @abstractmethod
    def models_at_once(self, prefix: str = "") -> dict[str, RegisteredModel]:
        """Name -> model, of every registered one whose name begins so: of many in few requests."""

    @abstractmethod
    def versions(self, name: str) -> list[ModelVersion]:
        """All versions, oldest first; none for a model nobody registered."""

    def version(self, name: str, number: int) -> ModelVersion:
        """One version. Raises VersionMissing."""
        for known in self.versions(name):
            if known.version == number:
                return known
        raise VersionMissing(f"{name} has no version {number} in the registry")

    def by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that holds an alias, or None."""
        number = self.model(name).aliases.get(alias)
        return None if number is None else self.version(name, number)

    def by_digest(self, name: str, digest: str) -> ModelVersion | None:
        """The newest version with that digest, or None."""
        return next((v for v in reversed(self.versions(name)) if v.digest == digest), None)

    @abstractmethod
    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version. Raises VersionMissing."""

    @abstractmethod
    def clear_alias(self, name: str, alias: str) -> None:
        """Take an alias away; nothing happens when nobody holds it."""

    @abstractmethod
    def tag(self, name: str, version: int, key: str, value: str) -> None:
        """Set a tag of one version. Raises VersionMissing."""

    def model_tag(self, name: str, key: str) -> str | None:
        """A tag of the model as a whole, or None."""
        return self.model(name).tags.get(key)

    @abstractmethod
    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of the model as a whole. Raises VersionMissing when nobody registered it."""

    @abstractmethod
    def documents(self, name: str, version: int) -> dict[str, str]:
        """Path -> SHA-256 of every document, as recorded at registration. Raises VersionMissing."""

    def document(self, name: str, version: int, path: str) -> bytes:
        """One document, checked against its recorded digest. Raises VersionMissing, RegistryCorrupt."""
        recorded = self.documents(name, version).get(path)
        if recorded is None:
            raise VersionMissing(f"version {version} of {name} has no document {path!r}")
        content = self._read_document(name, version, path)
        if digest_of(content) != recorded:
            raise RegistryCorrupt(
                f"document {path!r} of {name} version {version} was {recorded} when it was registered "
                f"and is {digest_of(content)} now: do not trust it"
            )
        return content

    @abstractmethod
    def _read_document(self, name: str, version: int, path: str) -> bytes:
        """The bytes of a document as they are now."""

    def download(self, name: str, version: int, into: Path) -> Path:
        """Put the bundle's files into the folder ``into``, which afterwards holds them all and nothing else.

        The folder appears complete or not at all; a right one that is there already is kept. Raises VersionMissing,
        RegistryCorrupt when the digest of what came is not the recorded one.
        """
        wanted = self.version(name, version)
        if into.is_dir() and bundle_digest(read_files(into)) == wanted.digest:
            return into
        into.parent.mkdir(parents=True, exist_ok=True)
        arrived = into.with_name(f".{into.name}.{uuid.uuid4().hex}")
        try:
            self._fetch(wanted, arrived)
            check_folder(arrived, wanted)
            if into.exists():
                shutil.rmtree(into)
            arrived.rename(into)
        finally:
            shutil.rmtree(arrived, ignore_errors=True)
        return into

    @abstractmethod
    def _fetch(self, version: ModelVersion, into: Path) -> None:
        """Write the bundle's files, as they are now, into a folder that does not exist yet."""

    def verify(self, name: str, version: int, keep: Path | None = None) -> str:
        """Read the bundle and every document back and return the digest; ``keep`` is where the bundle is left.

        With a public key the signature must be one of its owner over all of that. Raises VersionMissing,
        RegistryCorrupt, SignatureRefused.
        """
        files = self._whole(name, version, keep)
        known = self.version(name, version)
        self.signatures.check(files, known.tags.get(SIGNATURE_TAG), f"{name} version {version}")
        return known.digest

    def _whole(self, name: str, version: int, keep: Path | None = None) -> dict[str, bytes]:
        """What is signed of a version, every part of it held against its recorded digest."""
        known = self.version(name, version)
        with tempfile.TemporaryDirectory() as folder:
            bundle = read_files(self.download(name, version, keep or Path(folder) / "bundle"))
        documents = {path: self.document(name, version, path) for path in self.documents(name, version)}
        recorded, found = known.tags.get(DOCUMENTS_DIGEST_TAG), bundle_digest(documents)
        if recorded not in (None, found):
            was = f"the documents of {name} version {version} were {recorded} when they were registered"
            there = ", ".join(sorted(documents)) or "none"
            raise RegistryCorrupt(f"{was} and are {found} now ({there}): do not trust them")
        return signed_files(name, bundle, documents, known.tags)


def signed_files(
    name: str, bundle: Mapping[str, bytes], documents: Mapping[str, bytes], tags: Mapping[str, str]
) -> dict[str, bytes]:
    """Everything that a signature covers: the bundle, the documents, and what the version says it is.

    Neither its number nor its run: the same signature holds wherever the same version is registered.
    """
    identity = {"model": name, **{tag: tags[tag] for tag in SIGNED_TAGS if tag in tags}}
    return {
        "identity.json": to_json(identity).encode(),
        **{f"bundle/{path}": content for path, content in bundle.items()},
        **{f"documents/{path}": content for path, content in documents.items()},
    }


def check_registration(
    bundle: Mapping[str, bytes], documents: Mapping[str, bytes], digest: str, tags: Mapping[str, str]
) -> None:
    """Raise ValueError unless a registration is coherent: its digest, its paths, its cut-off day."""
    found = bundle_digest(bundle)
    if not bundle or found != digest:
        raise ValueError(f"refused to register: the bundle's digest is {found}, the evaluated one was {digest}")
    for path in (*bundle, *documents):
        if path != str(PurePosixPath(path)) or path.startswith(("/", ".")) or ".." in PurePosixPath(path).parts:
            raise ValueError(f"refused to register: {path!r} is not a plain relative path")
    if CUTOFF_TAG not in tags:
        raise ValueError(f"refused to register: the tags do not tell the {CUTOFF_TAG}")


def check_folder(folder: Path, version: ModelVersion) -> None:
    """Raise RegistryCorrupt unless a folder holds exactly the bundle that was registered as ``version``."""
    files = read_files(folder)
    if (found := bundle_digest(files)) != version.digest:
        raise RegistryCorrupt(
            f"{version.name} version {version.version} was registered as {version.digest} and is {found} now "
            f"({', '.join(files) or 'no files'}): it must not serve"
        )


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path relative to it."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``path -> content`` below a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def utc_now() -> str:
    """The wall's instant, in microseconds: ``2013-05-01T12:00:00.000000Z``."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
