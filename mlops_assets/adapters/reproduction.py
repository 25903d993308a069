"""Training a registered version again, from what the registry says of it and nothing else.

Here: ``reproduce``, and the two ways to its rows: the file in the remote, the tables at their pinned versions. Belongs
here: what has to be fetched for it. Does not: training (``ml.fitting``), the comparison (``ml.reproduction``).

Of this checkout it uses the code, the feature definitions and the names of the use case; every figure of the training
(rounds, parameters, the fault of a drill) is the recorded one.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mlops_assets.adapters.documents import manifest_of, training_set_of
from mlops_assets.adapters.dvc_store import DvcStore
from mlops_assets.adapters.feast_feature_store import FeastFeatureStore
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.provenance import Provenance, read_provenance
from mlops_assets.adapters.registry import Registry, read_files
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.tables import DeltaTables, TableMissing, Tables
from mlops_assets.adapters.training_sets import rows_at
from mlops_assets.contracts import Manifest, Training, TrainingSetManifest
from mlops_assets.ml.bundles import bundle_digest, digest_of
from mlops_assets.ml.digests import content_digest
from mlops_assets.ml.encoding import MissingColumn
from mlops_assets.ml.fitting import fit_bundle
from mlops_assets.ml.reproduction import (
    COMMIT,
    DEFINITIONS,
    DIRTY,
    LOCK,
    Reproduction,
    compare_bundles,
    compare_circumstances,
)
from mlops_assets.ml.training import freeze, thaw
from mlops_assets.use_cases import use_case as find_use_case

Rows = Callable[[TrainingSetManifest], tuple[bytes, str]]
"""From the manifest of a training set to the bytes of its file, and where they came from."""


class NotReproducible(RuntimeError):
    """The version, or what it was trained from, does not hold what a second training needs."""


def reproduce(
    registry: Registry, feature_store: FeatureStore, rows: Rows, model: str, version: int, threads: int = 0
) -> Reproduction:
    """Train ``version`` again and compare.

    Raises NotReproducible; VersionMissing, RegistryCorrupt, RegistryUnavailable; and whatever ``rows`` raises.
    """
    manifest, training, frozen = recorded_facts(registry, model, version)
    content, origin = rows(frozen)
    frame = thaw(content)
    fault = float(manifest.training_config["invert_label_share"])
    try:
        inputs = feature_store.inputs(frozen.feature_service)
        _, bundle = fit_bundle(frame, find_use_case(model), training, inputs, invert_label_share=fault, threads=threads)
    except (KeyError, MissingColumn) as error:
        raise NotReproducible(
            f"this checkout's features do not fit the frozen training set: {error.args[0]}. Check out the commit of "
            f"the model: {manifest.code_commit}"
        ) from error
    return Reproduction(
        model=model,
        version=version,
        rows_from=origin,
        digest_recorded=manifest.model_digest,
        digest_found=bundle_digest(bundle),
        training_set_recorded=frozen.digest,
        training_set_found=digest_of(content),
        same_rows=content_digest(frame) == frozen.content_digest,
        differences=compare_bundles(_bundle(registry, model, version), bundle),
        circumstances=compare_circumstances(_recorded(manifest), _here(read_provenance(), inputs.digest)),
    )


def recorded_facts(registry: Registry, model: str, version: int) -> tuple[Manifest, Training, TrainingSetManifest]:
    """What the registry holds of a version's making. Raises NotReproducible when it is not enough."""
    manifest, frozen = manifest_of(registry, model, version), training_set_of(registry, model, version)
    if frozen is None or manifest.training is None:
        raise NotReproducible(
            f"{model} version {version} was registered before training sets and their settings were recorded: it "
            "cannot be trained again from the record"
        )
    return manifest, manifest.training, frozen


def from_remote(settings: Settings) -> Rows:
    """The file that was pushed; from MLOPS_DATA_REMOTE, or else from where the manifest says that it is."""

    def rows(frozen: TrainingSetManifest) -> tuple[bytes, str]:
        store = DvcStore(settings.dvc, settings.data_remote or frozen.file.remote)
        return store.pull(frozen.file, frozen.digest), f"the remote {store.remote}"

    return rows


def from_tables(tables: Tables, feature_store: FeatureStore, name: str = "the tables") -> Rows:
    """The rows joined once more from the pinned versions of the tables."""

    def rows(frozen: TrainingSetManifest) -> tuple[bytes, str]:
        try:
            frame = rows_at(tables, feature_store, frozen.feature_service, frozen.query, frozen.tables)
        except (TableMissing, FileNotFoundError) as error:
            raise NotReproducible(
                f"{error}. The training set of {frozen.cutoff_day} cannot be built again from {name}; set MLOPS_TABLES "
                "to the folder of the tables it was made from, or leave --from-tables away: its file is in "
                f"{frozen.file.remote}"
            ) from error
        return freeze(frame)[0], f"{name} at their pinned versions"

    return rows


def from_deployed_tables(settings: Settings) -> Rows:
    """The same from the tables of a deployment, through Feast.

    Feast's own registry and online store are fresh ones in a folder that goes afterwards: another checkout's
    definitions must never be applied to the deployment whose tables are read.
    """

    def rows(frozen: TrainingSetManifest) -> tuple[bytes, str]:
        with tempfile.TemporaryDirectory() as scratch:
            apart = replace(settings, state=Path(scratch), tables_folder=settings.tables, online_store="")
            build = from_tables(
                DeltaTables(settings.tables), FeastFeatureStore(apart), f"the tables in {settings.tables}"
            )
            return build(frozen)

    return rows


def _bundle(registry: Registry, model: str, version: int) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return read_files(registry.download(model, version, Path(folder) / "bundle"))


def _recorded(manifest: Manifest) -> dict[str, str]:
    code, definitions = manifest, manifest.feature_service_digest
    return _named(code.code_commit, code.code_dirty, code.lock_digest, definitions, code.packages)


def _here(code: Provenance, definitions: str) -> dict[str, str]:
    return _named(code.code_commit, code.code_dirty, code.lock_digest, definitions, code.versions)


def _named(commit: str, dirty: bool, lock: str, definitions: str, packages: Mapping[str, str]) -> dict[str, str]:
    told = {COMMIT: commit, DIRTY: "yes" if dirty else "no", LOCK: lock, DEFINITIONS: definitions}
    return {**told, **{f"version of {name}": version for name, version in packages.items()}}
