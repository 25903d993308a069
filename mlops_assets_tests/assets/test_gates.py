"""Every gate seen refusing a real, trained bad model: the training goes on, the release stops."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from mlops_assets.adapters.releases import Cause
from mlops_assets.assets.address import MODELS, key
from mlops_assets.assets.files import release_decision_of, training_set_of
from mlops_assets.assets.models.model import inputs_as_frozen
from mlops_assets.assets.models.workbench import (
    HELD_OUT,
    MANIFEST,
    bundle_of,
    evaluation_at,
    manifest_at,
    place,
    training_rows,
)
from mlops_assets.contracts import Arm, Step, UseCase, to_json
from mlops_assets.ml import gates
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.ml.fitting import fit_bundle
from mlops_assets.ml.on_demand import TRANSFORMATIONS
from mlops_assets.ml.training import freeze
from mlops_assets.serving.probe import InProcessProbe
from mlops_assets.use_cases import ARRIVAL_DELAY
from mlops_assets_tests.conftest import LAST, StoreReader, Twins, checks_of

SHIPPED = replace(ARRIVAL_DELAY.gates, max_latency_ms=250.0)
"""But for the time: what else the machine does must decide nothing here."""
HELD_OUT_DAYS = 8
"""Enough for the slices to be judged."""
EARLIER = "2013-03-13"
"""The day before the first held-out one: up to it a champion may have learnt."""

Change = Callable[[pd.DataFrame], pd.DataFrame]


def strict(use_case: UseCase) -> UseCase:
    """The small use case with the gates as they ship."""
    training = replace(use_case.training, validation_days=HELD_OUT_DAYS)
    return replace(use_case, gates=SHIPPED, training=training)


@pytest.fixture
def judged(lived: Twins, tmp_path: Any) -> Twins:
    """The lived system under the shipped gates."""
    return under(lived, tmp_path)


def under(lived: Twins, tmp_path: Any, **parts: Any) -> Twins:
    return Twins(tmp_path / "judged", lived.memory, lived.endpoint, strict(lived.use_case), **parts)


def fitted(twins: Twins, change: Change) -> tuple[Any, dict[str, bytes]]:
    artifacts, use_case = twins.memory.artifacts, twins.use_case
    frozen, _ = training_set_of(artifacts, use_case, LAST)
    rows = change(training_rows(artifacts, use_case, LAST))
    return fit_bundle(rows, use_case, use_case.training, inputs_as_frozen(twins.memory.feature_store, frozen))


def plant(twins: Twins, change: Change) -> None:
    """Put a model of changed rows in the place of the trained one, as a training on those rows would have left it."""
    trained, bundle = fitted(twins, change)
    artifacts, where = twins.memory.artifacts, place(twins.use_case, "model", LAST)
    manifest = replace(manifest_at(artifacts, twins.use_case, LAST), model_digest=bundle_digest(bundle))
    held_out = trained.held_out[~trained.held_out["flight_id"].str.endswith("again")]
    files = {**bundle, MANIFEST: to_json(manifest).encode(), HELD_OUT: freeze(held_out)[0]}
    artifacts.put_all(where, files)


def crown(twins: Twins) -> None:
    """Make champion a model that was trained on the days before the held-out ones: only on unseen days is it fair."""
    _, bundle = fitted(twins, lambda rows: rows[rows["day"] <= EARLIER])
    name, digest = twins.use_case.name, bundle_digest(bundle)
    added = twins.memory.registry.register(name, "earlier", bundle, {}, digest, {"cutoff_day": EARLIER})
    cause = Cause(id="crown", day=EARLIER, by="operator:test", reason="to set the stage")
    twins.releases.enter(name, added.version, digest, Arm.CHAMPION, cause=cause, kind="override")


def refused(twins: Twins, **options: Any) -> set[str]:
    """The gates that refuse the model on the workbench."""
    result = twins.materialize([key(twins.use_case, MODELS, "evaluation")], LAST, **options)
    assert result.success
    answers = checks_of(result)
    assert {name.removeprefix("evaluation/") for name in answers} == set(gates.GATES)
    return {name.removeprefix("evaluation/") for name, passed in answers.items() if not passed}


def inverted_where(chosen: Callable[[pd.DataFrame], pd.Series]) -> Change:
    return lambda rows: rows.assign(is_late=np.where(chosen(rows), 1 - rows["is_late"], rows["is_late"]))


def every_late_row_twice(rows: pd.DataFrame) -> pd.DataFrame:
    late = rows[rows["is_late"] == 1]
    return pd.concat([rows, *(late.assign(flight_id=late["flight_id"] + f"-{n}-again") for n in range(2))])


def test_an_honest_model_passes_every_gate_as_shipped(judged):
    crown(judged)
    plant(judged, lambda rows: rows)
    assert refused(judged) == set()
    judged.memory.registry.clear_alias("arrival_delay", Arm.CHAMPION)
    assert refused(judged) == set()


def test_a_model_of_inverted_labels_is_refused_and_its_training_goes_on(judged):
    crown(judged)
    model = key(judged.use_case, MODELS, "model").to_python_identifier()
    config = {"ops": {model: {"config": {"invert_label_share": 1.0, "because": "a drill"}}}}
    result = judged.run("arrival_delay__train", LAST, config=config)
    assert result.success
    failed = {name for name, passed in checks_of(result).items() if not passed and name.startswith("evaluation/")}
    # Its released bytes agree, for they are as inverted as the evaluated fit.
    assert failed >= {
        f"evaluation/{name}" for name in (gates.RANKS, gates.BEATS_CONSTANT, gates.CALIBRATED, gates.CHAMPION)
    }
    assert not failed & {f"evaluation/{name}" for name in (gates.SAME_SCORES, gates.IN_TIME, gates.FITS)}
    assert judged.promotions.arms("arrival_delay").keys() == {Arm.CHAMPION}
    newest = judged.memory.registry.versions("arrival_delay")[-1].version
    verdict = release_decision_of(judged.memory.artifacts, judged.use_case, newest)
    assert verdict.step is Step.REFUSE
    assert gates.CHAMPION in verdict.reason
    assert manifest_at(judged.memory.artifacts, judged.use_case, LAST).fault_injected == "100% of the labels inverted"


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("carrier=9E", lambda rows: rows["carrier"] == "9E"),
        ("origin=LGA", lambda rows: rows["origin"] == "LGA"),
        # In the evening four of ten are late: eight days cannot tell inverted labels from honest ones there.
        ("hour=8", lambda rows: rows["sched_dep_minute"] // 60 == 8),
        ("storm=yes", lambda rows: rows["origin_delays__late_share_3h"] >= 0.5),
    ],
)
def test_a_part_of_the_labels_inverted_is_seen_in_its_slice(judged, name, chosen):
    crown(judged)
    plant(judged, inverted_where(chosen))
    assert gates.SLICES in refused(judged)
    shown = evaluation_at(judged.memory.artifacts, judged.use_case, LAST)
    (gate,) = [gate for gate in shown.gates if gate.name == gates.SLICES]
    assert name in gate.reason
    assert shown.slices[name]["low"] > SHIPPED.slice_margin


def test_late_rows_counted_three_times_are_out_of_calibration(judged):
    plant(judged, every_late_row_twice)
    assert gates.CALIBRATED in refused(judged)


def test_other_bytes_than_the_evaluated_fit_do_not_agree(judged):
    _, inverted = fitted(judged, inverted_where(lambda rows: rows["is_late"] >= 0))
    artifacts, where = judged.memory.artifacts, place(judged.use_case, "model", LAST)
    manifest = replace(manifest_at(artifacts, judged.use_case, LAST), model_digest=bundle_digest(inverted))
    artifacts.put_all(where, {**inverted, MANIFEST: to_json(manifest).encode()})
    assert refused(judged) == {gates.AGREES}


@pytest.mark.parametrize("file", ["model.txt", "signature.json"])
def test_one_flipped_byte_is_never_loaded_and_refused_by_the_server(judged, file):
    artifacts, where = judged.memory.artifacts, place(judged.use_case, "model", LAST)
    content = bytearray(artifacts.get(f"{where}/{file}"))
    content[len(content) // 2] ^= 1
    artifacts.put(f"{where}/{file}", bytes(content))
    assert refused(judged) >= {gates.AGREES, gates.SAME_SCORES, gates.IN_TIME}


def test_a_server_that_takes_too_long_is_refused(lived, tmp_path):
    def slowed(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        time.sleep(SHIPPED.max_latency_ms / 1000)
        return TRANSFORMATIONS["schedule_features"](columns)

    probe = InProcessProbe(lambda: StoreReader(lived.memory.feature_store), {"schedule_features": slowed})
    judged = under(lived, tmp_path, probe=probe)
    plant(judged, lambda rows: rows)
    assert refused(judged) == {gates.IN_TIME}


def test_a_server_that_does_not_see_a_view_is_refused(lived, tmp_path):
    class Blind(StoreReader):
        """Finds nothing in one view."""

        def read(self, view, keys):
            return {} if view.name == "origin_delays" else super().read(view, keys)

    judged = under(lived, tmp_path, probe=InProcessProbe(lambda: Blind(lived.memory.feature_store), TRANSFORMATIONS))
    plant(judged, lambda rows: rows)
    assert refused(judged) == {gates.SAME_SCORES}


def test_a_bundle_larger_than_stated_is_refused(judged, tmp_path):
    size = sum(map(len, bundle_of(judged.memory.artifacts, judged.use_case, LAST).values()))
    narrow = replace(judged.use_case, gates=replace(SHIPPED, max_bundle_bytes=size - 1))
    assert gates.FITS in refused(Twins(tmp_path / "narrow", judged.memory, judged.endpoint, narrow))


def test_a_dry_run_says_what_failed_and_stops_nothing(judged):
    crown(judged)
    ops = {
        key(judged.use_case, MODELS, "model").to_python_identifier(): {"config": {"invert_label_share": 1.0}},
        key(judged.use_case, MODELS, "evaluation").to_python_identifier(): {"config": {"dry_run": True}},
    }
    result = judged.run("arrival_delay__train", LAST, config={"ops": ops})
    failed = [e for e in result.get_asset_check_evaluations() if e.asset_key.path[-1] == "evaluation" and not e.passed]
    assert gates.RANKS in {check.check_name for check in failed}
    assert {check.severity for check in failed} == {dg.AssetCheckSeverity.WARN}
    newest = judged.memory.registry.versions("arrival_delay")[-1].version
    verdict = release_decision_of(judged.memory.artifacts, judged.use_case, newest)
    assert verdict.step is Step.TO_SHADOW
    assert "a dry run" in verdict.reason
    card = judged.memory.registry.document("arrival_delay", newest, "card.md").decode()
    assert "This was a dry run of the gates" in card
