"""Will a flight out of New York arrive 15 minutes late or more? Decided two hours before departure.

Here: the facts of this use case, each figure with the reason it was chosen.
Belongs here: what a domain expert or the model's owner would change. Does not: code.
"""

from mlops_assets.contracts import CanaryStep, Gates, Monitoring, Release, ServerLimits, Slice, Training, UseCase
from mlops_assets.use_cases.flights import FLIGHTS

ARRIVAL_DELAY = UseCase(
    name="arrival_delay",
    domain=FLIGHTS,
    question="Will this flight out of New York arrive 15 minutes late or more?",
    label="is_late",
    feature_service="arrival_delay_v1",
    entity_id="flight_id",
    decision_lead_minutes=120,
    slices=(
        Slice(name="carrier", column="carrier"),
        Slice(name="origin", column="origin"),
        Slice(name="hour", column="sched_dep_minute", width=60),
        # Known two hours ahead: of the flights of this airport that landed lately, at least half were late.
        Slice(name="storm", column="origin_delays__late_share_3h", at_least=0.5),
    ),
    # Late rate of January to March.
    fallback_score=0.24,
    owner=FLIGHTS.owner,
    training=Training(
        params={
            "objective": "binary",
            "learning_rate": 0.05,
            "num_leaves": 31,
            "min_data_in_leaf": 200,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
            "seed": 7,
        },
        rounds=400,
        early_stopping_rounds=40,
        validation_days=14,
    ),
    # Of 22 honest models, cut off every two weeks of the year, the worst showed AUC 0.653 (a quiet September, hard to
    # rank), log-loss ratio 0.934, calibration error 0.075; no slice of 200 rows was surely worse than the champion of
    # two weeks, one month or two months before by more than 0.000. The least bad of ten kinds of bad models is refused
    # beside a champion by 0.014 on a slice. One row takes the
    # server 2 ms, and 20 ms on two cores with ten other processes at work.
    gates=Gates(
        min_auc=0.62,
        max_log_loss_ratio=0.97,
        max_calibration_error=0.09,
        champion_margin=0.01,
        slice_margin=0.01,
        slice_min_rows=200,
        max_latency_ms=100.0,
        max_bundle_bytes=32 * 1024 * 1024,
    ),
    # 5, 20 and 50 % of some 900 answers a day are 45, 180 and 450. A full day at each, for days are the observations:
    # three of them are the fewest with an interval worth reading, and more would only hold back a better model.
    release=Release(
        shadow_days=3,
        canary_steps=(
            CanaryStep(basis_points=500),
            CanaryStep(basis_points=2000),
            CanaryStep(basis_points=5000),
        ),
        margin=0.005,
        alpha=0.05,
        max_days=14,
    ),
    monitoring=Monitoring(
        alarms_needed=2,
        alarm_window_days=3,
        # Drift is looked for in a week of traffic: a storm stays in sight for seven days, a changed population longer.
        drift_alarms_needed=7,
        drift_window_days=8,
        rollback_margin=0.005,
        rollback_min_rows=500,
        retrain_cooldown_days=14,
        # A calendar of a fifth more data reaches, alone, the loss of one of every four weeks with 7 trainings for 10
        # (make bench-monitoring_trigger). A year later that would be a model every ten weeks.
        retrain_every_days=91,
        retrain_growth=0.2,
        daily_ceiling=2,
        # A decision is taken two hours ahead: half a second is no harm, and seven times what the slowest hundredth took
        # at twice the server's capacity. One answer in fifty by the constant rate costs less than a storm. Busy
        # neighbours alone make 20 ms of 2 (see gates): below 50 ms nothing is too slow, above it three times the usual.
        server=ServerLimits(
            max_p95_ms=500.0, max_fallback_share=0.02, latency_ratio=3.0, least_latency_ms=50.0, usual_days=7
        ),
    ),
    intended_use=(
        "Warn dispatchers and passengers of a likely late arrival, two hours before the scheduled departure, "
        "for flights that leave EWR, JFK or LGA."
    ),
    limits=(
        "Cancelled and diverted flights have no label: the model says nothing about them.",
        "Trained on one year (2013) of one city: other years and airports are out of its range.",
        "A storm delays everybody at once: days, not flights, are the independent observations.",
    ),
)
