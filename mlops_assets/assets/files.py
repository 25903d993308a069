"""Which files the assets of one use case hand to each other, and where each lies.

Here: the path of every hand-over, and reading and writing it as a contract. Belongs here: a file that two stages
share. Does not: tables (``assets.address``), what is in the file (``contracts``, ``ml``).
"""

from typing import TypeVar

from mlops_assets.adapters.artifacts import ArtifactMissing, Artifacts
from mlops_assets.contracts import (
    Decision,
    Judgement,
    ReleaseDecision,
    TrainingSetManifest,
    UseCase,
    from_json,
    to_json,
)
from mlops_assets.ml.attribution_drift import MONITOR as ATTRIBUTION
from mlops_assets.ml.attribution_reference import DayAttributions
from mlops_assets.ml.bundles import digest_of
from mlops_assets.ml.episodes import revised
from mlops_assets.ml.server_health import MONITOR as SERVING
from mlops_assets.ml.server_health import Service
from mlops_assets.ml.what_if import Inputs

T = TypeVar("T")


class FrozenRowsChanged(ValueError):
    """The rows beside a manifest are not the ones that it names."""


def folder(use_case: UseCase, stage: str, name: str, partition: str) -> str:
    """Where an asset's partition keeps its files."""
    return f"{use_case.name}/{stage}/{name}/{partition}"


def training_set_path(use_case: UseCase, cutoff_day: str) -> str:
    """The frozen rows of a training set: among the artifacts, and in the DVC repository."""
    return f"{folder(use_case, 'training', 'training_set', cutoff_day)}/rows.parquet"


def put_training_set(artifacts: Artifacts, use_case: UseCase, manifest: TrainingSetManifest, rows: bytes) -> None:
    """Keep a frozen training set: its rows, then the manifest that names them."""
    artifacts.put(training_set_path(use_case, manifest.cutoff_day), rows)
    where = folder(use_case, "training", "training_set", manifest.cutoff_day)
    artifacts.put(f"{where}/manifest.json", to_json(manifest).encode())


def training_set_of(artifacts: Artifacts, use_case: UseCase, cutoff_day: str) -> tuple[TrainingSetManifest, bytes]:
    """The frozen training set of a cut-off day: its manifest and the bytes of its rows.

    Raises ArtifactMissing; FrozenRowsChanged when the bytes are not those that the manifest names.
    """
    where = folder(use_case, "training", "training_set", cutoff_day)
    manifest = from_json(TrainingSetManifest, artifacts.get(f"{where}/manifest.json"))
    rows = artifacts.get(training_set_path(use_case, cutoff_day))
    if digest_of(rows) != manifest.digest:
        raise FrozenRowsChanged(
            f"the rows of {where} have the digest {digest_of(rows)}, its manifest says {manifest.digest}: materialize "
            "the training set of that day again"
        )
    return manifest, rows


def newest_training_set(artifacts: Artifacts, use_case: UseCase) -> TrainingSetManifest | None:
    """The manifest of the latest cut-off day that has one."""
    root = folder(use_case, "training", "training_set", "")
    days = [path.split("/")[0] for path in artifacts.list(root.rstrip("/")) if path.endswith("/manifest.json")]
    return _find(artifacts, f"{root}{max(days)}/manifest.json", TrainingSetManifest) if days else None


def put_judgement(artifacts: Artifacts, use_case: UseCase, judgement: Judgement) -> Judgement:
    """Keep one monitor's verdict on one day; what is kept tells of another one that was given before."""
    path = f"{folder(use_case, 'monitoring', judgement.monitor, judgement.day)}.json"
    kept = revised(judgement, _find(artifacts, path, Judgement))
    artifacts.put(path, to_json(kept).encode())
    return kept


def judgements_of(artifacts: Artifacts, use_case: UseCase, day: str, monitors: tuple[str, ...]) -> list[Judgement]:
    """The verdicts on one day, of those monitors that gave one."""
    found = (_find(artifacts, f"{folder(use_case, 'monitoring', name, day)}.json", Judgement) for name in monitors)
    return [judgement for judgement in found if judgement is not None]


def champion_judged(artifacts: Artifacts, use_case: UseCase, day: str) -> int | None:
    """The champion that the verdicts on a day are about; None when it was not judged, or had none."""
    return next((said.champion_version for said in judgements_of(artifacts, use_case, day, ("data_contract",))), None)


def put_attributions(artifacts: Artifacts, use_case: UseCase, explained: DayAttributions) -> None:
    """Keep what was explained of one day's answers of one version."""
    path = f"{folder(use_case, 'monitoring', ATTRIBUTION, explained.day)}.version-{explained.version}.json"
    artifacts.put(path, to_json(explained).encode())


def attributions_of(artifacts: Artifacts, use_case: UseCase, day: str, version: int) -> DayAttributions | None:
    """What was explained of one day's answers of a version, or None."""
    path = f"{folder(use_case, 'monitoring', ATTRIBUTION, day)}.version-{version}.json"
    return _find(artifacts, path, DayAttributions)


def put_service(artifacts: Artifacts, use_case: UseCase, day: str, service: Service) -> None:
    """Keep how a day was served, whoever was champion."""
    artifacts.put(f"{folder(use_case, 'monitoring', SERVING, day)}.service.json", to_json(service).encode())


def service_kept(artifacts: Artifacts, use_case: UseCase, day: str) -> Service | None:
    """How a day was served, or None when nobody has counted."""
    return _find(artifacts, f"{folder(use_case, 'monitoring', SERVING, day)}.service.json", Service)


def put_decision(artifacts: Artifacts, use_case: UseCase, decision: Decision) -> None:
    """Keep what the decision table concluded on one day."""
    path = f"{folder(use_case, 'monitoring', 'decision', decision.day)}.json"
    artifacts.put(path, to_json(decision).encode())


def put_inputs(artifacts: Artifacts, use_case: UseCase, inputs: Inputs) -> None:
    """Keep what the decision of a day is made of."""
    path = f"{folder(use_case, 'monitoring', 'decision', inputs.situation.day)}.inputs.json"
    artifacts.put(path, to_json(inputs).encode())


def inputs_of(artifacts: Artifacts, use_case: UseCase, day: str) -> Inputs | None:
    """What the decision of a day was made of, or None when there was none."""
    return _find(artifacts, f"{folder(use_case, 'monitoring', 'decision', day)}.inputs.json", Inputs)


def decision_of(artifacts: Artifacts, use_case: UseCase, day: str) -> Decision | None:
    """What the decision table concluded on one day, or None when it has not looked at it."""
    return _find(artifacts, f"{folder(use_case, 'monitoring', 'decision', day)}.json", Decision)


def put_release_decision(artifacts: Artifacts, use_case: UseCase, decision: ReleaseDecision) -> None:
    """Keep what the release table concluded about one version on one day; the newest is also the version's own."""
    root = f"{use_case.name}/releases/decisions/{decision.version}"
    content = to_json(decision).encode()
    artifacts.put(f"{root}/{decision.day}.json", content)
    newest = _find(artifacts, f"{root}/latest.json", ReleaseDecision)
    if newest is None or newest.day <= decision.day:
        artifacts.put(f"{root}/latest.json", content)


def release_decision_of(artifacts: Artifacts, use_case: UseCase, version: int, day: str = "") -> ReleaseDecision:
    """What the release table concluded about a version on a day, or lately. Raises ArtifactMissing."""
    root = f"{use_case.name}/releases/decisions/{version}"
    return from_json(ReleaseDecision, artifacts.get(f"{root}/{day or 'latest'}.json"))


def _find(artifacts: Artifacts, path: str, kind: type[T]) -> T | None:
    try:
        return from_json(kind, artifacts.get(path))
    except ArtifactMissing:
        return None
