"""Each monitor is seen quiet, seen speaking and seen admitting that it does not know."""

from dataclasses import replace

import numpy as np
import pandas as pd

from mlops_assets.contracts import Judgement, Verdict
from mlops_assets.ml import monitoring
from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.feature_contract import FeatureContract
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.monitoring import Subject
from mlops_assets.ml.references import DriftReference
from mlops_assets_tests.ml.made_rows import day_of, made_rows

ABOUT = Subject(day=day_of(48), champion_version=3, champion_digest="d" * 64)
ENGINE = drift_engine("scipy")


def week(**more: float) -> pd.DataFrame:
    return made_rows(days=7, first=42, seed=101, **more)  # type: ignore[arg-type]


def says(judgement: Judgement, verdict: Verdict) -> None:
    assert judgement.verdict is verdict, judgement.reason
    assert judgement.reason
    assert (judgement.day, judgement.champion_version) == (ABOUT.day, 3)
    assert all(value is None or np.isfinite(value) for value in judgement.numbers.values())


def test_the_data_contract_speaks_of_quarantined_rows() -> None:
    says(monitoring.data_contract(ABOUT, rows=900, quarantined=1), Verdict.OK)
    says(monitoring.data_contract(ABOUT, rows=900, quarantined=100), Verdict.ALARM)
    says(monitoring.data_contract(ABOUT, rows=0, quarantined=0), Verdict.UNKNOWN)


def test_the_data_contract_speaks_of_one_implausible_thing_and_names_it() -> None:
    judgement = monitoring.data_contract(ABOUT, rows=900, quarantined=0, broken=["JFK: a feed lags"])
    says(judgement, Verdict.ALARM)
    assert judgement.reason.startswith("JFK: a feed lags; 0 of 900 rows")
    many = monitoring.data_contract(ABOUT, rows=900, quarantined=0, broken=["a", "b", "c", "d", "e"])
    assert "a; b; c and 2 more" in many.reason


def test_the_feature_contract_holds_on_a_clean_week_and_breaks_with_a_sign(reference: DriftReference) -> None:
    says(monitoring.feature_contract(ABOUT, reference, week()), Verdict.OK)
    flipped = week().assign(wind=lambda rows: np.where(rows["day"] == ABOUT.day, -rows["wind"], rows["wind"]))
    judgement = monitoring.feature_contract(ABOUT, reference, flipped)
    says(judgement, Verdict.ALARM)
    assert "slope of" in judgement.reason
    assert (judgement.numbers["broken"] or 0) >= 1


def test_features_of_a_day_with_few_answers_or_of_an_old_reference_are_unknown(reference: DriftReference) -> None:
    earlier = week()[lambda rows: rows["day"] < ABOUT.day]
    says(monitoring.feature_contract(ABOUT, reference, earlier), Verdict.UNKNOWN)
    says(monitoring.feature_contract(ABOUT, reference, week().iloc[:0]), Verdict.UNKNOWN)
    old = replace(reference, facts=replace(reference.facts, contract=FeatureContract()))
    says(monitoring.feature_contract(ABOUT, old, week()), Verdict.UNKNOWN)


def test_equal_vectors_have_no_skew_even_where_values_are_missing() -> None:
    served = week()
    shuffled = served.sample(frac=1, random_state=1)
    says(monitoring.feature_skew(ABOUT, served, shuffled, key="flight_id", features=["wind", "gust"]), Verdict.OK)


def test_one_value_that_differs_in_its_last_bit_is_skew() -> None:
    served = week()
    other = served.assign(wind=np.where(served.index == 3, np.nextafter(served["wind"], 9), served["wind"]))
    judgement = monitoring.feature_skew(ABOUT, served, other, key="flight_id", features=["wind", "carrier"])
    says(judgement, Verdict.ALARM)
    (row,) = served[served.index == 3].to_dict("records")
    told = f"wind in 1 of {len(served)} rows ({row['flight_id']}: served {row['wind']!r}, recomputed "
    assert f"{told}{float(np.nextafter(row['wind'], 9))!r})" in judgement.reason


def test_vectors_that_cannot_be_recomputed_are_unknown() -> None:
    served = week()
    says(monitoring.feature_skew(ABOUT, served, served.iloc[:0], key="flight_id", features=["wind"]), Verdict.UNKNOWN)


def test_data_drift_is_quiet_on_a_clean_week_and_speaks_of_a_warmer_one(reference: DriftReference) -> None:
    says(monitoring.data_drift(ABOUT, reference, week(), ENGINE), Verdict.OK)
    speaking = monitoring.data_drift(ABOUT, reference, week(warmer=3.0), ENGINE)
    says(speaking, Verdict.ALARM)
    assert "gust" not in next(iter(k for k in speaking.numbers if k.startswith("excess")))


def test_data_drift_knows_nothing_before_a_full_week(reference: DriftReference) -> None:
    six = week()
    six = six[six["day"] < ABOUT.day]
    says(monitoring.data_drift(ABOUT, reference, six, ENGINE), Verdict.UNKNOWN)
    says(monitoring.data_drift(ABOUT, reference, six.iloc[:0], ENGINE), Verdict.UNKNOWN)


def test_prediction_drift_speaks_when_the_answers_move(reference: DriftReference, scorer: Scorer) -> None:
    clean = week()
    clean = clean.assign(score=scorer.score(clean))
    says(monitoring.prediction_drift(ABOUT, reference, clean, ENGINE), Verdict.OK)
    moved = clean.assign(score=0.9)
    says(monitoring.prediction_drift(ABOUT, reference, moved, ENGINE), Verdict.ALARM)
    says(monitoring.prediction_drift(ABOUT, reference, clean.iloc[:5], ENGINE), Verdict.UNKNOWN)


def test_label_drift_speaks_when_the_rate_moves(reference: DriftReference) -> None:
    says(monitoring.label_drift(ABOUT, reference, week(), label="is_late"), Verdict.OK)
    says(monitoring.label_drift(ABOUT, reference, week().assign(is_late=1), label="is_late"), Verdict.ALARM)
    says(monitoring.label_drift(ABOUT, reference, week().iloc[:5], label="is_late"), Verdict.UNKNOWN)
