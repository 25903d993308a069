"""Promises of the card: complete, true to its facts, readable by the hub's own parser, and seen failing."""

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from mlops_assets.contracts import Evaluation, Gate, Manifest, TableVersion, Transition
from mlops_assets.ml.card_facts import CardFacts
from mlops_assets.ml.explanations import Explanations
from mlops_assets.ml.model_cards import SECTIONS, missing_sections, write_card
from mlops_assets.use_cases import USE_CASES

DIGEST = "ab" * 32
MANIFEST = Manifest(
    use_case="arrival_delay",
    cutoff_day="2013-03-31",
    window_first_day="2013-01-01",
    validation_first_day="2013-03-18",
    code_commit="c0ffee",
    code_dirty=True,
    lock_digest="1" * 64,
    feature_service="arrival_delay_v1",
    feature_service_digest="2" * 64,
    training_set_digest="3" * 64,
    training_rows=80_000,
    tables=(TableVersion(table="flights/features/origin_weather", version=4, first_day="2013-01-01", last_day="x"),),
    params={"learning_rate": 0.05, "note": "a|b"},
    model_digest=DIGEST,
    dagster_run_id="run-1",
    mlflow_run_id="run-2",
    created_at="2024-01-01T00:00:00Z",
    trained_because="the first model",
    fault_injected="30 % of the labels inverted",
)
EVALUATION = Evaluation(
    model_digest=DIGEST,
    first_day="2013-03-18",
    last_day="2013-03-31",
    rows=12_000,
    metrics={"auc": 0.76, "log_loss": 0.45, "brier": 0.14, "calibration_error": 0.014},
    champion_version=None,
    champion_metrics={},
    slices={"carrier=UA": {"rows": 900.0, "auc": 0.7, "log_loss": 0.4, "late_rate": 0.2, "mean_score": 0.2}},
    gates=(Gate(name="probabilities_are_calibrated", passed=False, reason="off by 0.18"),),
)
TRANSITION = Transition(
    event_id="e1",
    at="2024-01-01T00:00:00Z",
    day="2013-04-01",
    model="arrival_delay",
    version=3,
    digest=DIGEST,
    from_arm=None,
    to_arm="champion",
    kind="promoted",
    by="operator:jane",
    reason="first model",
)
FACTS = CardFacts(
    use_case=USE_CASES[0],
    manifest=MANIFEST,
    evaluation=EVALUATION,
    explanations=Explanations(mean_contribution={"delay": 0.5}, expected_value=-1.2, rows=2000),
    drift_limit=0.22,
    version=3,
    transitions=(TRANSITION,),
)


def test_a_card_is_complete_and_equal_facts_give_equal_text() -> None:
    assert missing_sections(write_card(FACTS)) == ()
    assert write_card(FACTS) == write_card(replace(FACTS))


def test_the_hub_reads_the_metadata() -> None:
    data = ModelCard(write_card(FACTS)).data
    assert data.library_name == "lightgbm"
    assert [result.metric_value for result in data.eval_results] == [0.76, 0.14, 0.45]
    assert data.datasets == ["flights/features/origin_weather"]


@pytest.mark.parametrize(
    "fact",
    [
        DIGEST,
        "c0ffee",
        "with uncommitted changes",
        "30 % of the labels inverted",
        "off by 0.18",
        "operator:jane",
        "the first model",
        "carrier=UA",
        "a\\|b",
    ],
)
def test_a_fact_stands_in_the_card(fact: str) -> None:
    assert fact in write_card(FACTS)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_card_without_a_section_or_with_an_empty_one_is_incomplete(section: str) -> None:
    card = write_card(FACTS)
    start = card.index(f"## {section}\n")
    end = card.find("\n## ", start + 4)
    rest = "" if end < 0 else card[end:]
    assert section in missing_sections(card[:start] + rest)
    assert section in missing_sections(card[:start] + f"## {section}\n" + rest)


def test_a_card_without_metadata_is_incomplete() -> None:
    assert "metadata" in missing_sections("# A card\n")
    assert "metadata: tags" in missing_sections(write_card(FACTS).replace("tags:\n", "other:\n"))


def test_the_champion_stands_beside_figures_of_the_same_rows() -> None:
    slices = {
        "hour=13": {"rows": 774.0, "auc": 0.7, "log_loss": 0.4, "late_rate": 0.2}
        | {"difference": 0.01, "low": 0.0051, "high": 0.0149, "days": 9.0, "compared_rows": 557.0}
    }
    compared = replace(
        EVALUATION,
        champion_version=2,
        champion_metrics={"log_loss": 0.47},
        compared_metrics={"log_loss": 0.46},
        compared_rows=8_000,
        compared_days=9,
        slices=slices,
    )
    card = write_card(replace(FACTS, evaluation=compared))
    assert "Both on the same 8000 of the 12000 rows: those of the 9 days that the champion, version 2, was not" in card
    assert "| log_loss | 0.4600 | 0.4700 |" in card
    assert "| log_loss | 0.4500 |  |" in card
    assert "| hour=13 | 774 | 0.7000 | 0.4000 | 0.2000 | 0.0100 | 0.0051 to 0.0149 | 557 | 9 |" in card


@pytest.mark.parametrize(
    ("rows", "said"), [(None, "were not recorded"), (0, "trained on all of these days: they cannot compare the two")]
)
def test_a_champion_without_figures_of_unseen_rows_has_none_in_the_card(rows: int | None, said: str) -> None:
    older = replace(EVALUATION, champion_version=2, champion_metrics={"log_loss": 0.1234}, compared_rows=rows)
    card = write_card(replace(FACTS, evaluation=older))
    assert said in card
    assert "0.1234" not in card


def test_a_gate_without_evidence_is_shown_as_not_judged() -> None:
    gate = Gate(name="no_slice_is_much_worse", passed=True, judged=False, reason="not judged: too few days")
    assert f"| {gate.name} | not judged | {gate.reason} |" in write_card(
        replace(FACTS, evaluation=replace(EVALUATION, gates=(gate,)))
    )


def test_the_table_of_data_has_no_column_that_nobody_fills() -> None:
    card = write_card(FACTS)
    assert "| flights/features/origin_weather | 4 | 2013-01-01 to x |\n" in card
    assert "not computed" not in card


def test_a_version_that_was_never_released_says_so() -> None:
    assert "Not released." in write_card(replace(FACTS, version=None, transitions=()))
