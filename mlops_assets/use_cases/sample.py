"""The small sample of a use case: the same facts on a few days, for CI and for a first look.

Here: ``sampled``. Belongs here: every fact that the sample has smaller. Does not: running it (``demo.sample``), any
other path through the code: the sample is a use case like every other.
"""

from dataclasses import replace
from datetime import date, timedelta

from mlops_assets.contracts import Domain, Gates, UseCase

HISTORY_DAYS = 21
"""Three weeks: the least that a drift reference learns from."""
LIVE_DAYS = 1
ROUNDS, EARLY_STOPPING_ROUNDS, VALIDATION_DAYS = 40, 10, 5
GATES = Gates(
    min_auc=0.5, max_log_loss_ratio=1.2, max_calibration_error=0.3, champion_margin=0.2, max_latency_ms=5000.0
)
"""Passed by any honest model of three weeks, failed by one whose labels are inverted."""


def sampled(use_case: UseCase) -> UseCase:
    """The use case on the first days of its calendar, with few rounds and gates that an honest small model passes."""
    training = replace(
        use_case.training,
        params={**use_case.training.params, "min_data_in_leaf": 100, "learning_rate": 0.1},
        rounds=ROUNDS,
        early_stopping_rounds=EARLY_STOPPING_ROUNDS,
        validation_days=VALIDATION_DAYS,
    )
    return replace(use_case, domain=shortened(use_case.domain), training=training, gates=GATES)


def shortened(domain: Domain) -> Domain:
    """The domain with a calendar of HISTORY_DAYS, then LIVE_DAYS of traffic."""
    live_from = date.fromisoformat(domain.first_day) + timedelta(days=HISTORY_DAYS)
    last = live_from + timedelta(days=LIVE_DAYS - 1)
    return replace(domain, live_from=live_from.isoformat(), last_day=last.isoformat())
