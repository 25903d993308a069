"""The table versions that registered models were made from: they must stay readable.

Here: ``pinned_versions``. Belongs here: who still needs an old version. Does not: deleting the others
(``adapters.tables``), pinning (``assets.training``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_assets.adapters.registry import Registry, VersionMissing
from mlops_assets.contracts import TableVersion, from_json

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Pins:
    """What the registry needs of the tables."""

    versions: Mapping[str, frozenset[int]]
    """Table -> its pinned versions."""
    without_manifest: tuple[str, ...]
    """Registered versions that say nothing of the tables they were made from, as ``model version``."""


@dataclass(frozen=True)
class _Named:
    """What is read of a manifest: the rest may change from release to release."""

    tables: tuple[TableVersion, ...] = field(default=())


def pinned_versions(registry: Registry) -> Pins:
    """The versions that the manifests of all registered versions of all models pin.

    Raises RegistryUnavailable, RegistryCorrupt: who cannot know what is needed must delete nothing.
    """
    versions: dict[str, set[int]] = {}
    silent = []
    for model in registry.models():
        for registered in registry.versions(model):
            try:
                manifest = from_json(_Named, registry.document(model, registered.version, MANIFEST))
            except VersionMissing:
                silent.append(f"{model} {registered.version}")
                continue
            for pin in manifest.tables:
                versions.setdefault(pin.table, set()).add(pin.version)
    return Pins({table: frozenset(pinned) for table, pinned in versions.items()}, tuple(silent))
