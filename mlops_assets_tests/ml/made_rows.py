"""Made-up decisions with the one trait that matters: the rows of a day rise and fall together.

Here: a seeded frame of days. Belongs here: what several tests of ml need. Does not: real data, assertions.
"""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlops_assets.contracts import Judgement, Monitoring, Training, Verdict
from mlops_assets.ml.bundles import ModelFeature

FEATURES = (
    ModelFeature(name="wind", kind="number"),
    ModelFeature(name="gust", kind="number"),
    ModelFeature(name="delay", kind="number"),
    ModelFeature(name="carrier", kind="category"),
)
NAMES = {"label": "is_late", "entity_id": "flight_id"}
TRAINING = Training(
    params={"objective": "binary", "learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20, "seed": 3},
    rounds=40,
    early_stopping_rounds=10,
    validation_days=7,
)
MONITORING = Monitoring(
    alarms_needed=2,
    alarm_window_days=3,
    drift_alarms_needed=3,
    drift_window_days=4,
    rollback_margin=0.005,
    rollback_min_rows=200,
    retrain_cooldown_days=14,
    retrain_every_days=28,
    retrain_growth=0.25,
    daily_ceiling=2,
)


def day_of(number: int) -> str:
    """ISO date of the day with that number; 0 is the first."""
    return (dt.date(2013, 1, 1) + dt.timedelta(days=int(number))).isoformat()


def made_rows(days: int = 35, rows: int = 120, first: int = 0, seed: int = 0, warmer: float = 0.0) -> pd.DataFrame:
    """``days`` days of ``rows`` decisions; a day's storm moves wind, delay and the label of all of them.

    ``warmer`` shifts the wind and the delay without moving the gust: a move that no other feature explains.
    """
    random = np.random.default_rng(seed)
    storm = np.repeat(random.normal(size=days), rows)
    number = np.repeat(np.arange(days), rows)
    wind = storm + random.normal(size=days * rows) + warmer
    delay = 0.7 * storm + random.normal(size=days * rows) - warmer
    logit = -1.2 + 0.9 * delay + 0.4 * wind
    gust = np.where(random.random(days * rows) < 0.2, np.nan, wind - warmer + 0.3 * random.normal(size=days * rows))
    return pd.DataFrame(
        {
            "flight_id": [f"{day_of(first + n)}_{i:05d}" for i, n in enumerate(number)],
            "day": [day_of(first + n) for n in number],
            "wind": wind,
            "gust": gust,
            "delay": delay,
            "carrier": random.choice(["AA", "B6", "UA"], size=days * rows),
            "is_late": (random.random(days * rows) < 1 / (1 + np.exp(-logit))).astype(int),
        }
    )


def judged(
    monitor: str,
    day: str,
    verdict: Verdict = Verdict.ALARM,
    version: int | None = 1,
    numbers: Mapping[str, float | None] | None = None,
) -> Judgement:
    """A verdict without a story."""
    return Judgement(
        monitor=monitor, day=day, verdict=verdict, reason="made up", numbers=numbers or {}, champion_version=version
    )
