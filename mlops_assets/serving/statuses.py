"""What the server tells of a model: as a status, and as gauges.

Here: ``status_of``, ``problems_of`` and ``gauges_of``. Belongs here: how a state is put into words and numbers. Does
not: which states there are (``serving.data_plane``), what workers tell together (``serving.union``).
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from mlops_assets.contracts import ArmStatus, ServerStatus
from mlops_assets.serving.arms import ORDER, ModelState
from mlops_assets.serving.metrics import Labels

MOST_NAMED = 10
"""Models that are named with a problem that they have in common."""


def status_of(state: ModelState, notes: tuple[str, ...], behind: int) -> ServerStatus:
    """What a model is answered by; ``notes`` are problems of the server, ``behind`` rows its shadow has to score."""
    loaded = [
        ArmStatus(
            arm=str(arm),
            version=state.arms[arm].version,
            digest=state.arms[arm].bundle.digest,
            basis_points=state.basis_points(arm),
            loaded_at=state.arms[arm].bundle.loaded_at,
            computed_by=state.arms[arm].bundle.computed_by,
        )
        for arm in ORDER
        if arm in state.arms
    ]
    unloaded = [
        ArmStatus(
            arm=str(arm),
            version=state.unloaded[arm].version,
            digest=state.unloaded[arm].digest,
            basis_points=state.basis_points(arm),
            loaded_at="",
        )
        for arm in ORDER
        if arm in state.unloaded
    ]
    return ServerStatus(
        model=state.facts.name,
        ready=state.ready,
        arms=(*loaded, *unloaded),
        problems=(*state.problems, *notes),
        shadow_rows_waiting=behind,
        loaded=bool(state.arms),
        required=state.facts.required,
    )


def problems_of(reports: Sequence[ServerStatus], notes: Collection[str]) -> list[str]:
    """The problems of models, each with its model, but for the ``notes``; what many have in common is told once."""
    whose: dict[str, list[str]] = {}
    for report in reports:
        for problem in report.problems:
            if problem not in notes and report.model not in whose.setdefault(problem, []):
                whose[problem].append(report.model)
    told = []
    for problem, models in whose.items():
        few, more = models[:MOST_NAMED], len(models) - MOST_NAMED
        told += [f"{model}: {problem}" for model in few]
        told += [f"{more} more models: {problem}"] if more > 0 else []
    return told


def gauges_of(
    states: Mapping[str, ModelState], status: Callable[[str], ServerStatus]
) -> dict[tuple[str, Labels], float]:
    """Who holds which arm, and what is wrong: of models in memory, and of those with a problem, for a thousand models
    that nobody asked for need no thousand series."""
    loaded = [state for state in states.values() if state.arms]
    told: dict[tuple[str, Labels], float] = {
        ("mlops_models", ()): len(states),
        ("mlops_models_loaded", ()): len(loaded),
        ("mlops_model_memory_bytes", ()): sum(state.memory_bytes for state in loaded),
    }
    for name, state in states.items():
        if state.unloaded and not state.problems:
            continue
        report = status(name)
        for known in state.refused:
            labels = {"model": name, "arm": known.arm, "version": str(known.version), "why": known.why}
            told["mlops_refused_version", tuple(labels.items())] = 1
        told["mlops_problems", (("model", name),)] = len(report.problems)
        told["mlops_shadow_rows_waiting", (("model", name),)] = report.shadow_rows_waiting
        for arm in report.arms if report.loaded else ():
            labels = {"model": name, "arm": arm.arm, "version": str(arm.version), "digest": arm.digest}
            told["mlops_arm_info", tuple(labels.items())] = arm.basis_points
    return told
