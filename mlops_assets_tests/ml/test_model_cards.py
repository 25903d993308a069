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


def test_a_version_that_was_never_released_says_so() -> None:
    assert "Not released." in write_card(replace(FACTS, version=None, transitions=()))
