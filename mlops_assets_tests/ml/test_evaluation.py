"""Promises of the gates: an honest model passes, and each gate is seen refusing."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.contracts import Evaluation, Gates, Slice, from_json, to_json
from mlops_assets.ml.day_blocks import Difference
from mlops_assets.ml.evaluation import evaluate, intervals
from mlops_assets.ml.gates import no_slice_worse
from mlops_assets.ml.metrics import summary
from mlops_assets.ml.models import Scorer, TrainedModel, invert_labels, make_bundle, train
from mlops_assets_tests.ml.made_rows import FEATURES, NAMES, TRAINING, made_rows

GATES = Gates(min_auc=0.6, max_log_loss_ratio=0.97, max_calibration_error=0.08, champion_margin=0.01)


@pytest.fixture(scope="module")
def unseen(history: pd.DataFrame, trained: TrainedModel) -> pd.DataFrame:
    return history.merge(trained.held_out, on=["flight_id", "day"])


def judge(unseen: pd.DataFrame, scores: np.ndarray, released: np.ndarray | None = None, **more: object) -> Evaluation:
    return evaluate(
        unseen,
        scores,
        scores if released is None else released,
        label="is_late",
        gates=GATES,
        model_digest="d" * 64,
        training_rate=0.3,
        slices=(Slice(name="carrier", column="carrier"),),
        **more,  # type: ignore[arg-type]
    )


def failed(evaluation: Evaluation) -> set[str]:
    return {gate.name for gate in evaluation.gates if not gate.passed}


def test_an_honest_first_model_passes_and_says_on_what(unseen: pd.DataFrame, scorer: Scorer) -> None:
    evaluation = judge(unseen, unseen["score"].to_numpy(), scorer.score(unseen))
    assert evaluation.passed
    assert (evaluation.rows, evaluation.first_day, evaluation.last_day) == (840, "2013-02-05", "2013-02-11")
    assert set(evaluation.slices) == {"carrier=AA", "carrier=B6", "carrier=UA"}
    assert all(gate.reason for gate in evaluation.gates)


def test_random_scores_are_refused(unseen: pd.DataFrame) -> None:
    scores = np.random.default_rng(0).uniform(0.1, 0.9, len(unseen))
    assert {"ranks_better_than_the_minimum", "beats_the_constant_rate"} <= failed(judge(unseen, scores))


def test_shifted_probabilities_are_refused(unseen: pd.DataFrame) -> None:
    scores = np.clip(unseen["score"].to_numpy() + 0.2, 0, 1)
    assert "probabilities_are_calibrated" in failed(judge(unseen, scores))


def test_bytes_that_are_not_those_that_were_evaluated_are_refused(unseen: pd.DataFrame) -> None:
    assert "released_bytes_agree" in failed(judge(unseen, unseen["score"].to_numpy(), np.full(len(unseen), 0.5)))


def test_a_candidate_worse_than_the_champion_is_refused_and_a_better_one_is_not(
    unseen: pd.DataFrame, scorer: Scorer
) -> None:
    good, bad = unseen["score"].to_numpy(), 0.4 * unseen["score"].to_numpy() + 0.3
    worse = judge(unseen, bad, champion_version=1, champion_scores=good, champion_cutoff_day="2013-01-01")
    better = judge(unseen, good, champion_version=1, champion_scores=bad, champion_cutoff_day="2013-01-01")
    assert "no_worse_than_the_champion" in failed(worse)
    assert "no_worse_than_the_champion" not in failed(better)
    assert worse.champion_metrics["log_loss"] < worse.metrics["log_loss"]


def test_days_that_the_champion_has_seen_are_not_compared(unseen: pd.DataFrame) -> None:
    bad = 0.4 * unseen["score"].to_numpy() + 0.3
    seen = judge(
        unseen, bad, champion_version=1, champion_scores=unseen["score"].to_numpy(), champion_cutoff_day="2013-02-10"
    )
    gate = next(g for g in seen.gates if g.name == "no_worse_than_the_champion")
    assert (gate.passed, gate.judged) == (True, False)
    assert "not judged: only 1 held-out days" in gate.reason


def test_candidate_and_champion_are_measured_on_the_same_days_that_neither_has_seen(unseen: pd.DataFrame) -> None:
    fresh = (unseen["day"] > "2013-02-08").to_numpy()
    honest = unseen["score"].to_numpy()
    # The champion knows by heart what it was trained on, and nothing of the rest.
    champion = np.where(fresh, 0.3, unseen["is_late"])
    shown = judge(unseen, honest, champion_version=1, champion_scores=champion, champion_cutoff_day="2013-02-08")
    assert (shown.compared_rows, shown.compared_days) == (int(fresh.sum()), 3)
    expected = summary(honest[fresh], unseen["is_late"].to_numpy(float)[fresh], 0.3)
    assert shown.compared_metrics == expected
    assert shown.champion_metrics["auc"] == 0.5
    gate = next(g for g in shown.gates if g.name == "no_worse_than_the_champion")
    assert gate.judged
    difference = shown.compared_metrics["log_loss"] - shown.champion_metrics["log_loss"]
    assert gate.numbers["difference"] == pytest.approx(difference)


def test_without_a_champion_or_an_unseen_day_there_is_nothing_beside(unseen: pd.DataFrame) -> None:
    scores = unseen["score"].to_numpy()
    alone = judge(unseen, scores)
    all_seen = judge(unseen, scores, champion_version=1, champion_scores=scores, champion_cutoff_day="2013-02-11")
    for shown in (alone, all_seen):
        assert (shown.compared_rows, shown.compared_metrics, shown.champion_metrics) == (0, {}, {})


def test_unseen_rows_of_one_label_have_no_auc_and_the_evaluation_can_be_read_back(unseen: pd.DataFrame) -> None:
    rows = unseen[(unseen["day"] < "2013-02-11") | (unseen["is_late"] == 1)]
    scores = rows["score"].to_numpy()
    shown = judge(rows, scores, champion_version=1, champion_scores=scores, champion_cutoff_day="2013-02-10")
    assert shown.compared_rows
    assert "auc" not in shown.compared_metrics
    assert from_json(Evaluation, to_json(shown)).champion_metrics == shown.champion_metrics


def test_a_slice_tells_of_how_many_rows_its_difference_is(unseen: pd.DataFrame) -> None:
    scores = unseen["score"].to_numpy()
    shown = judge(unseen, scores, champion_version=1, champion_scores=scores, champion_cutoff_day="2013-02-08")
    told = shown.slices["carrier=UA"]
    mine = unseen[unseen["carrier"] == "UA"]
    assert (told["rows"], told["compared_rows"]) == (len(mine), (mine["day"] > "2013-02-08").sum())


def test_the_interval_of_what_is_never_negative_starts_at_zero() -> None:
    # Calibrated over all days together and far off on each: the symmetric interval would reach below zero.
    days = np.tile(["a", "b", "c", "c"], 100)
    labels = np.tile([1.0, 0.0, 1.0, 0.0], 100)
    low, high = intervals(days, np.full(400, 0.5), labels)["calibration_error"]
    assert low == 0
    assert high > 0.1


def test_gates_without_evidence_pass_and_say_that_they_judged_nothing(unseen: pd.DataFrame) -> None:
    shown = judge(unseen[unseen["day"] < "2013-02-08"], unseen.loc[unseen["day"] < "2013-02-08", "score"].to_numpy())
    unjudged = {gate.name: gate for gate in shown.gates if not gate.judged}
    assert unjudged.keys() == {"no_worse_than_the_champion", "no_slice_is_much_worse"}
    assert all(gate.passed and gate.answer == gate.reason[:10] == "not judged" for gate in unjudged.values())


def test_the_slice_gate_tells_the_lower_end_and_the_largest_mean_apart() -> None:
    narrow = Difference(mean=0.006, low=0.0051, high=0.0069, days=9, rows=557)
    wide = Difference(mean=0.0163, low=-0.002, high=0.0346, days=9, rows=300)
    gate = no_slice_worse({"hour=10": wide, "hour=13": narrow}, GATES, "the champion")
    assert gate.passed
    assert "nearest to a refusal is hour=13: lower end +0.0051, mean +0.0060" in gate.reason
    assert "largest mean is hour=10: lower end -0.0020, mean +0.0163" in gate.reason
    assert "worst" not in gate.reason


def test_a_model_trained_on_inverted_labels_is_refused() -> None:
    history = made_rows(days=42, seed=5)
    trained = train(invert_labels(history, "is_late", 0.3, 1), TRAINING, FEATURES, **NAMES)
    service = {"feature_service": "s", "feature_service_digest": "0", "request_fields": (), "views": ()}
    scorer = Scorer(make_bundle(trained, model="bad", **NAMES, **service, transformations=()))
    unseen = history.merge(trained.held_out, on=["flight_id", "day"])
    assert "probabilities_are_calibrated" in failed(judge(unseen, unseen["score"].to_numpy(), scorer.score(unseen)))
