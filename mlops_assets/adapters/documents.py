"""The documents of a registered version, read back as contracts.

Here: their names in the registry, and reading each. Belongs here: a document that code reads. Does not: the registry
(``adapters.registry``), writing them (``assets.models``).
"""

from mlops_assets.adapters.registry import Registry
from mlops_assets.contracts import Evaluation, Manifest, TrainingSetManifest, from_json

MANIFEST, TRAINING_SET, EVALUATION = "manifest.json", "training_set.json", "evaluation.json"


def manifest_of(registry: Registry, model: str, version: int) -> Manifest:
    """Where a version came from. Raises VersionMissing, RegistryCorrupt, RegistryUnavailable."""
    return from_json(Manifest, registry.document(model, version, MANIFEST))


def training_set_of(registry: Registry, model: str, version: int) -> TrainingSetManifest | None:
    """The frozen training set behind a version; None for versions from before training sets had manifests.

    Raises VersionMissing, RegistryCorrupt, RegistryUnavailable.
    """
    if TRAINING_SET not in registry.documents(model, version):
        return None
    return from_json(TrainingSetManifest, registry.document(model, version, TRAINING_SET))


def evaluation_of(registry: Registry, model: str, version: int) -> Evaluation:
    """What a version showed. Raises VersionMissing, RegistryCorrupt, RegistryUnavailable."""
    return from_json(Evaluation, registry.document(model, version, EVALUATION))
