"""The demo's verdict: what is found in the server, the registry and the event log, and nothing that the script says.

Here: every promise of the demo as an observation, and the printed report. Belongs here: looking. Does not: playing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from mlops_assets.adapters.deployment import Deployment
from mlops_assets.adapters.promotions import CANARY_BASIS_POINTS
from mlops_assets.assets.address import MONITORING, RELEASES, REMEDIATION, automation, key, table
from mlops_assets.contracts import Arm, Evaluation, Manifest, Transition, UseCase, from_json
from mlops_assets.demo.narrator import shortened


@dataclass(frozen=True)
class Observation:
    """One promise, and whether it was seen."""

    promise: str
    seen: bool
    where: str


def observe(use_case: UseCase, deployment: Deployment, instance: dg.DagsterInstance) -> list[Observation]:
    """Every promise of the demo, looked up in the running system."""
    return [
        *_history(use_case, deployment.promotions.all(use_case.name)),
        *_events(use_case, instance),
        *_server(use_case, deployment),
        *_registry(use_case, deployment),
    ]


def _history(use_case: UseCase, lines: Sequence[Transition]) -> Iterator[Observation]:
    by_kind = {kind: [line for line in lines if line.kind == kind] for kind in {line.kind for line in lines}}
    promoted = by_kind.get("promoted", [])
    release = f"sensor:{automation(use_case, 'release')}"
    travelled = [
        line
        for line in promoted
        if {"shadow", "canary"} <= {step.kind for step in lines if step.version == line.version} and line.by == release
    ]
    yield Observation("a retrained version went shadow -> canary -> champion", bool(travelled), "promotion history")
    shares = [
        [
            line.evidence[CANARY_BASIS_POINTS]
            for line in lines
            if (line.version, line.to_arm) == (one.version, Arm.CANARY)
        ]
        for one in travelled
    ]
    steps = [step.basis_points for step in use_case.release.canary_steps]
    told = ", ".join(f"{share / 100:g} %" for share in steps)
    yield Observation(f"its canary answered {told} of the traffic, one after the other", steps in shares, "same")
    overridden = {line.version for line in by_kind.get("override", []) if line.to_arm == Arm.CANARY}
    refused = [x for x in by_kind.get("refused", []) if x.from_arm == Arm.CANARY and x.version in overridden]
    yield Observation("the bad candidate was refused in its canary", bool(refused), "promotion history")
    bad = {line.version for line in refused}
    yield Observation("the bad candidate was never promoted", not bad & {x.version for x in promoted}, "same")
    back = [line for line in by_kind.get("rolled_back", []) if line.by.startswith("sensor:") and line.evidence]
    yield Observation("the bad champion was rolled back by the sensor, with evidence", bool(back), "same")


def _events(use_case: UseCase, instance: dg.DagsterInstance) -> Iterator[Observation]:
    for name in ("retrain", "rollback"):
        asset = key(use_case, REMEDIATION, name)
        event = instance.get_latest_materialization_event(asset)
        run = instance.get_run_by_id(event.run_id) if event else None
        by = run.tags.get("dagster/sensor_name") if run else None
        yield Observation(f"{name} was materialized by a sensor's run", by is not None, f"event log: {by}")
    ticks = [
        tick
        for state in instance.all_instigator_state()
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
        if tick.run_ids
    ]
    yield Observation("the ticks that asked for runs are recorded", len(ticks) > 0, f"{len(ticks)} ticks")
    failed = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    yield Observation("no run failed", failed == 0, f"{failed} failed runs")


def _server(use_case: UseCase, deployment: Deployment) -> Iterator[Observation]:
    champion = deployment.promotions.arms(use_case.name)[Arm.CHAMPION]
    status = deployment.endpoint.status(use_case.name).arm(Arm.CHAMPION)
    same = status is not None and status.digest == champion.digest
    yield Observation("the server reports the restored champion's digest", same, f"GET /metadata: {champion.digest}")
    days = deployment.tables.days(table(use_case, MONITORING, "traffic"))
    answered = deployment.tables.read(table(use_case, MONITORING, "traffic"), days[-1], days[-1])
    digests = set(answered["digest"])
    yield Observation("it answered the last day with that digest", digests == {champion.digest}, f"traffic, {days[-1]}")
    deployed = deployment.tables.read(table(use_case, RELEASES, "deployment"), days[-1], days[-1])
    told = set(deployed["digest"]) == {champion.digest}
    yield Observation("the deployment of that day says the same", told, f"deployment, {days[-1]}")


def _registry(use_case: UseCase, deployment: Deployment) -> Iterator[Observation]:
    versions = deployment.registry.versions(use_case.name)
    verified = all(deployment.registry.verify(v.name, v.version) == v.digest for v in versions)
    yield Observation("every version's bytes have the digest they were evaluated with", verified, "registry")


def version_lines(use_case: UseCase, deployment: Deployment) -> Iterator[tuple[str, ...]]:
    """Per version: number, digest, data, rows, AUC, log-loss, why it came, what became of it."""
    lines = deployment.promotions.all(use_case.name)
    for version in deployment.registry.versions(use_case.name):
        documents = {
            name: deployment.registry.document(version.name, version.version, f"{name}.json")
            for name in ("manifest", "evaluation")
        }
        manifest, result = from_json(Manifest, documents["manifest"]), from_json(Evaluation, documents["evaluation"])
        life = [line for line in lines if line.version == version.version and line.kind != "registered"]
        yield (
            str(version.version),
            version.digest,
            f"{manifest.window_first_day} to {manifest.cutoff_day}",
            f"{manifest.training_rows:,}",
            f"{result.metrics['auc']:.3f}",
            f"{result.metrics['log_loss']:.3f}",
            shortened(manifest.trained_because),
            "; ".join(f"{line.day} {line.kind}" for line in life) or "registered",
        )
