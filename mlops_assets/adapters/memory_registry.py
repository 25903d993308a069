"""The registry in the memory of one process, for tests and trials.

Here: ``MemoryRegistry``. Belongs here: nothing else. Does not: promises of its own (``registry``).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mlops_assets.adapters.registry import (
    CUTOFF_TAG,
    UNSIGNED,
    RegisteredModel,
    Registry,
    VersionMissing,
    utc_now,
    write_files,
)
from mlops_assets.adapters.signatures import Signatures
from mlops_assets.contracts import ModelVersion
from mlops_assets.ml.bundles import digest_of


class MemoryRegistry(Registry):
    """Keeps everything in dictionaries. A test may change ``files`` to play a registry whose storage went bad."""

    def __init__(self, signatures: Signatures = UNSIGNED) -> None:
        super().__init__(signatures)
        self.files: dict[tuple[str, int], dict[str, bytes]] = {}
        """(model, version) -> ``bundle/<path>`` and ``documents/<path>`` -> content."""
        self._versions: dict[str, list[ModelVersion]] = {}
        self._digests: dict[tuple[str, int], dict[str, str]] = {}
        self._models: dict[str, RegisteredModel] = {}

    @property
    def address(self) -> str:
        """As in Registry."""
        return f"memory:{id(self)}"

    def open_run(self, label: str) -> str:
        """As in Registry."""
        return label

    def _add(
        self,
        name: str,
        run_id: str,
        bundle: Mapping[str, bytes],
        documents: Mapping[str, bytes],
        digest: str,
        tags: Mapping[str, str],
    ) -> ModelVersion:
        number = len(self._versions.get(name, ())) + 1
        self.files[name, number] = {f"bundle/{p}": c for p, c in bundle.items()} | {
            f"documents/{p}": c for p, c in documents.items()
        }
        self._digests[name, number] = {p: digest_of(c) for p, c in documents.items()}
        added = ModelVersion(
            name=name,
            version=number,
            digest=digest,
            cutoff_day=tags[CUTOFF_TAG],
            mlflow_run_id=run_id,
            created_at=utc_now(),
            tags=dict(tags),
        )
        self._versions.setdefault(name, []).append(added)
        self._models.setdefault(name, RegisteredModel(name=name))
        return added

    def models(self) -> list[str]:
        """As in Registry."""
        return sorted(self._models)

    def model(self, name: str) -> RegisteredModel:
        """As in Registry."""
        return self._models.get(name, RegisteredModel(name=name))

    def models_at_once(self, prefix: str = "") -> dict[str, RegisteredModel]:
        """As in Registry."""
        return {name: self.model(name) for name in self.models() if name.startswith(prefix)}

    def versions(self, name: str) -> list[ModelVersion]:
        """As in Registry."""
        held = self.model(name).aliases
        return [
            replace(v, aliases=tuple(sorted(a for a, n in held.items() if n == v.version)))
            for v in self._versions.get(name, ())
        ]

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """As in Registry."""
        self.version(name, version)
        model = self.model(name)
        self._models[name] = replace(model, aliases={**model.aliases, alias: version})

    def clear_alias(self, name: str, alias: str) -> None:
        """As in Registry."""
        model = self.model(name)
        self._models[name] = replace(model, aliases={a: n for a, n in model.aliases.items() if a != alias})

    def tag(self, name: str, version: int, key: str, value: str) -> None:
        """As in Registry."""
        known = self.version(name, version)
        self._versions[name][version - 1] = replace(known, aliases=(), tags={**known.tags, key: value})

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """As in Registry."""
        if name not in self._models:
            raise VersionMissing(f"no model named {name} in the registry")
        model = self._models[name]
        self._models[name] = replace(model, tags={**model.tags, key: value})

    def documents(self, name: str, version: int) -> dict[str, str]:
        """As in Registry."""
        self.version(name, version)
        return dict(self._digests[name, version])

    def _read_document(self, name: str, version: int, path: str) -> bytes:
        return self.files[name, version][f"documents/{path}"]

    def _fetch(self, version: ModelVersion, into: Path) -> None:
        kept = self.files[version.name, version.version]
        write_files(into, {p.removeprefix("bundle/"): c for p, c in kept.items() if p.startswith("bundle/")})
