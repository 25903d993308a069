"""A deployment that has answered for months: real features and outcomes, answers of real models, all of it on disk.

Here: the tables, files, registry and history that a day's verdicts read, of any length. Does not belong here: measuring
(``benchmarks.monitoring_cost``), what the verdicts are worth.

The answers are made from the training set, whose features are to the last bit those that would have been served: the
monitor that recomputes them finds them equal.
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from benchmarks.model_data import LAST, USE_CASE, Graph
from benchmarks.model_scores import known_by
from mlops_assets.adapters.alerts import LogAlerts
from mlops_assets.adapters.deployment import Deployment
from mlops_assets.adapters.endpoint import MemoryEndpoint
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import MONITORING, RELEASES, table
from mlops_assets.assets.files import put_decision, put_judgement
from mlops_assets.assets.monitoring.decision import NAMES
from mlops_assets.assets.monitoring.shown import DRAWN
from mlops_assets.assets.partitions import shift, span
from mlops_assets.assets.releases import answers_by_version
from mlops_assets.contracts import Action, Arm, Decision, Evaluation, Judgement, Transition, Verdict, to_json
from mlops_assets.definitions import build_defs
from mlops_assets.ml.attribution_reference import fit_attributions
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.models import Scorer, make_bundle, train
from mlops_assets.ml.outcomes import all_arms, join_outcomes
from mlops_assets.ml.references import fit_reference, to_files

NAME = USE_CASE.name
CUTOFFS = ("2013-02-28", "2013-03-31")
"""Of the predecessor and of the champion."""
PROMOTED_EVERY = 14
CHAMPION_DAYS, SHADOW_DAYS = 10, 5
"""How long the champion has been one, and the candidate beside it: both are compared with another version."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained version: its files, its documents, its scores of the year's rows."""

    bundle: Mapping[str, bytes]
    documents: Mapping[str, bytes]
    digest: str
    scores: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Material:
    """What worlds of every length are made of."""

    state: Path
    rows: pd.DataFrame
    models: Sequence[Model]
    """The predecessor and the champion; the candidate in shadow has the predecessor's bytes."""


def material(state: Path) -> Material:
    """Train two models on the year that was landed in ``state`` (``benchmarks.model_data``), and score it."""
    graph = Graph(state)
    rows = graph.rows(LAST)
    return Material(state=state, rows=rows, models=[_model(graph, rows, cutoff) for cutoff in CUTOFFS])


def _model(graph: Graph, rows: pd.DataFrame, cutoff: str) -> Model:
    known, inputs, names = (
        known_by(rows, cutoff),
        graph.inputs,
        {"label": USE_CASE.label, "entity_id": USE_CASE.entity_id},
    )
    trained = train(known, USE_CASE.training, inputs.features, **names)
    bundle = make_bundle(
        trained,
        model=NAME,
        feature_service=USE_CASE.feature_service,
        feature_service_digest="0" * 64,
        request_fields=inputs.request_fields,
        views=inputs.views,
        transformations=inputs.transformations,
        **names,
    )
    scorer, engine = Scorer(bundle), drift_engine(USE_CASE.monitoring.drift_engine)
    fitted = fit_reference(known, scorer.score(known), trained.held_out, trained.features, engine=engine, **names)
    fitted = replace(fitted, facts=replace(fitted.facts, attributions=fit_attributions(scorer, known)))
    digest = bundle_digest(bundle)
    facts = Evaluation(
        model_digest=digest, first_day=cutoff, last_day=cutoff, rows=0, metrics={}, champion_version=None,
        champion_metrics={}, slices={}, gates=(),
    )  # fmt: skip
    documents = {**to_files(fitted), "evaluation.json": to_json(facts).encode()}
    return Model(bundle=bundle, documents=documents, digest=digest, scores=scorer.score(rows))


class World:
    """A deployment with so many days of answers before ``day``, in a folder of its own."""

    def __init__(self, made: Material, folder: Path, day: str, history: int) -> None:
        """Copy the year's tables and live through the days; takes a second or two for ten days."""
        for part in ("tables", "features"):
            shutil.copytree(made.state / part, folder / part)
        self.days, self._made = span(shift(day, -history), day), made
        settings = Settings(state=folder, start_services=False, live_from=self.days[0])
        parts = Deployment(settings)
        self.tables, self.artifacts = parts.tables, parts.artifacts
        self.registry = MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}")
        self.releases = Releases(self.registry, parts.promotions)
        endpoint = MemoryEndpoint(self.registry)
        roles = ("source", "tables", "feature_store", "artifacts", "promotions")
        resources: dict[str, Any] = {role: getattr(parts, role) for role in roles}
        resources |= {"registry": self.registry, "releases": self.releases, "endpoint": endpoint}
        resources["alerts"] = LogAlerts(folder / "alerts.jsonl")
        self._job = build_defs((USE_CASE,), resources, settings).resolve_implicit_global_asset_job_def()
        self._instance = dg.DagsterInstance.ephemeral()
        with contextlib.chdir(folder):
            self._promote()
        self._answer()
        self._judge()

    def run(self, assets: Sequence[dg.AssetKey], day: str) -> None:
        """Materialize assets of one day in this process."""
        self._job.execute_in_process(instance=self._instance, asset_selection=list(assets), partition_key=day)

    def _promote(self) -> None:
        """Two versions take turns as champion, until the newer one stays; a candidate enters the shadow."""
        first, day = self.days[0], self.days[-1]
        turns = [*self.days[:-CHAMPION_DAYS:PROMOTED_EVERY], shift(day, -CHAMPION_DAYS)]
        older, newer = self._made.models
        last = len(turns) % 2
        wanted = [(newer if n % 2 != last else older, Arm.CHAMPION, on) for n, on in enumerate(turns)]
        wanted.append((older, Arm.SHADOW, max(first, shift(day, -SHADOW_DAYS))))
        lines: list[Transition] = []
        for number, (model, arm, on) in enumerate(wanted, start=1):
            run = self.registry.open_run(f"version-{number}")
            facts = {"cutoff_day": CUTOFFS[self._made.models.index(model)]}
            self.registry.register(NAME, run, model.bundle, model.documents, model.digest, facts)
            for kind, into in (("registered", None), ("promoted" if arm is Arm.CHAMPION else "shadow", arm)):
                lines.append(
                    Transition(
                        event_id=f"{kind}/{number}",
                        at=f"{on}T12:00:00.00000{len(lines) % 10}Z",
                        day=on,
                        model=NAME,
                        version=number,
                        digest=model.digest,
                        from_arm=None,
                        to_arm=into,
                        kind=kind,
                        by="benchmark",
                        reason="a turn",
                    )  # fmt: skip
                )
                self.releases.promotions.record(lines[-1:])
        self._champions = [(on, n, model) for n, (model, arm, on) in enumerate(wanted, start=1) if arm is Arm.CHAMPION]
        self._shadow = (len(wanted), wanted[-1][2])

    def _answer(self) -> None:
        """Traffic, outcomes and deployment of every day, a commit a day as the graph writes them."""
        answers = pd.concat([self._answers_of(day) for day in self.days], ignore_index=True)
        arrivals = self.tables.read("flights/datasets/arrivals", self.days[0], self.days[-1])
        outcomes = join_outcomes(answers, arrivals)
        for name, frame in (("traffic", answers), ("outcomes", outcomes)):
            for day, rows in _by_day(frame, self.days):
                self.tables.replace(table(USE_CASE, MONITORING, name), rows, [day], {"dagster_run_id": "made"})
        for day, rows in _by_day(answers, self.days):
            served = answers_by_version(rows, day)
            self.tables.replace(table(USE_CASE, RELEASES, "deployment"), served, [day], {"dagster_run_id": "made"})

    def _answers_of(self, day: str) -> pd.DataFrame:
        made = self._made
        chosen = (made.rows["day"] == day).to_numpy()
        rows = made.rows.loc[chosen].drop(columns=["landed_at", "known_day", "arr_delay", "is_late", "day"])
        _, version, model = max((c for c in self._champions if c[0] <= day), key=lambda c: c[1])
        older, (shadow, since) = made.models[0], self._shadow
        said = {"champion": (version, model.digest, model.scores[chosen])}
        if day > since:
            said["shadow"] = (shadow, older.digest, older.scores[chosen])
        columns: dict[str, Any] = {"request_id": [f"{NAME}/{one}" for one in rows["flight_id"]], "day": day}
        for arm, (number, digest, scores) in said.items():
            columns |= {f"{arm}_version": float(number), f"{arm}_digest": digest, f"{arm}_score": scores}
        at = rows["event_timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        columns |= {
            "event_time": at, "received_at": at, "model": NAME, "entity_id": rows["flight_id"], "arm": "champion",
            "version": float(version), "digest": model.digest, "score": model.scores[chosen],
            "features_digest": model.digest, "missing": 0, "latency_ms": np.linspace(2.0, 12.0, len(rows)),
        }  # fmt: skip
        return all_arms(rows.drop(columns="event_timestamp").assign(**columns))

    def _judge(self) -> None:
        """What the monitors said of every day but the last, and what was decided."""
        random = np.random.default_rng(7)
        for day in self.days[:-1]:
            _, version, model = max((c for c in self._champions if c[0] <= day), key=lambda c: c[1])
            said = []
            for name in NAMES:
                drawn = DRAWN[name]
                numbers = {drawn.number: float(random.normal(1, 0.1)), **dict.fromkeys(filter(None, (drawn.low,)), 0.5)}
                numbers |= dict.fromkeys(filter(None, (drawn.high,)), 1.5)
                said.append(
                    Judgement(
                        monitor=name,
                        day=day,
                        verdict=Verdict.OK,
                        reason="as on clean days",
                        numbers=numbers,
                        rows=900,
                        champion_version=version,
                        champion_digest=model.digest,
                    )  # fmt: skip
                )
                put_judgement(self.artifacts, USE_CASE, said[-1])
            made = Decision(
                day=day, action=Action.NOTHING, reason="no monitor speaks", evidence=tuple(said), version=version
            )
            put_decision(self.artifacts, USE_CASE, made)


def _by_day(frame: pd.DataFrame, days: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    known = dict(iter(frame.groupby("day")))
    for day in days:
        yield day, known.get(day, frame.iloc[:0])
