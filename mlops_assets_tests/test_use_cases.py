"""Every use case x every promise that its facts make, and a made-up one that is added without touching code."""

import zoneinfo
from dataclasses import replace
from datetime import date

import dagster as dg
import pytest

from mlops_assets.adapters.feature_specs import REPO, inputs_of, repo_spec
from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.monitoring.decision import JUDGED_DAYS
from mlops_assets.contracts import Gates, Slice, UseCase
from mlops_assets.definitions import build_defs
from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.policy import persistence
from mlops_assets.ml.training import ENTITY_COLUMNS
from mlops_assets.use_cases import USE_CASES
from mlops_assets.use_cases import use_case as find
from mlops_assets.use_cases.sample import HISTORY_DAYS, LIVE_DAYS, sampled

ALL = [*USE_CASES, *map(sampled, USE_CASES)]
NAMES = [u.name for u in USE_CASES] + [f"{u.name}-sample" for u in USE_CASES]
every_use_case = pytest.mark.parametrize("use_case", ALL, ids=NAMES)


def test_names_are_unique_and_found():
    names = [use_case.name for use_case in USE_CASES]
    assert len(set(names)) == len(names)
    assert all(find(use_case.name) is use_case for use_case in USE_CASES)
    with pytest.raises(KeyError, match=names[0]):
        find("nobody")


@every_use_case
def test_its_feature_service_is_declared_in_the_feature_repo(use_case: UseCase, tmp_path):
    spec = repo_spec(REPO, tmp_path)
    service = spec.service(use_case.feature_service)
    assert service.tags["use_case"] == use_case.name
    assert use_case.entity_id == spec.identity


@every_use_case
def test_its_slices_and_its_label_are_columns_of_the_training_set(use_case: UseCase, tmp_path):
    inputs = inputs_of(repo_spec(REPO, tmp_path), use_case.feature_service)
    assert use_case.slices
    assert {part.column for part in use_case.slices} <= {feature.name for feature in inputs.features}
    assert {use_case.label, use_case.entity_id} <= set(ENTITY_COLUMNS)


@every_use_case
def test_its_calendar_is_in_order_and_in_a_known_time_zone(use_case: UseCase):
    domain = use_case.domain
    first, live, last = (date.fromisoformat(d) for d in (domain.first_day, domain.live_from, str(domain.last_day)))
    assert first < live <= last
    assert zoneinfo.ZoneInfo(use_case.timezone)
    history = (live - first).days
    assert history > use_case.training.validation_days
    assert use_case.training.window_days is None or history >= use_case.training.window_days


@every_use_case
def test_its_training_is_bounded_and_seeded(use_case: UseCase):
    training = use_case.training
    assert 0 < training.early_stopping_rounds < training.rounds
    assert training.validation_days > 0
    assert training.window_days is None or training.window_days > training.validation_days
    assert isinstance(training.params["seed"], int)
    assert training.params["objective"] == "binary"


@every_use_case
def test_its_gates_can_be_passed_and_can_be_failed(use_case: UseCase):
    gates: Gates = use_case.gates
    assert 0.5 <= gates.min_auc < 1
    assert 0 < gates.max_log_loss_ratio <= 1.2
    assert 0 < gates.max_calibration_error < 0.5
    assert 0 < gates.champion_margin < 0.5
    assert 0 < gates.slice_margin < 0.5
    assert gates.slice_min_rows > 0
    assert gates.max_latency_ms > 0
    assert gates.max_bundle_bytes > 0


@pytest.mark.parametrize("use_case", USE_CASES, ids=lambda u: u.name)
def test_a_model_that_knows_nothing_fails_the_real_gates(use_case: UseCase):
    assert use_case.gates.min_auc > 0.5
    assert use_case.gates.max_log_loss_ratio < 1


@every_use_case
def test_its_release_needs_evidence_and_ends(use_case: UseCase):
    release = use_case.release
    assert release.shadow_days > 0
    shares = [step.basis_points for step in release.canary_steps]
    assert shares[0] > 0
    assert shares == sorted(set(shares))
    assert shares[-1] < 10_000
    assert all(step.days > 0 for step in release.canary_steps)
    assert release.max_days >= max(release.shadow_days, release.canary_days)
    assert 0 < release.max_error_share < 0.5
    assert release.max_latency_ratio > 1
    assert release.max_latency_excess_ms > 0
    assert 0 < release.alpha < 0.5
    assert release.margin > 0


@every_use_case
def test_its_monitoring_can_alarm_and_is_held_back(use_case: UseCase):
    monitoring = use_case.monitoring
    assert 0 < monitoring.alarms_needed <= monitoring.alarm_window_days
    needed, window = persistence("data_drift", monitoring)
    assert monitoring.alarms_needed <= needed <= window <= JUDGED_DAYS
    assert monitoring.rollback_margin > 0
    assert monitoring.rollback_min_rows > 0
    assert 0 < monitoring.retrain_cooldown_days <= monitoring.retrain_every_days
    assert monitoring.retrain_growth > 0
    assert monitoring.daily_ceiling > 0
    assert 0 < monitoring.server.least_latency_ms < monitoring.server.max_p95_ms
    assert 0 < monitoring.server.max_fallback_share < 1
    assert monitoring.server.latency_ratio > 1
    assert monitoring.server.usual_days > 0
    assert drift_engine(monitoring.drift_engine)


@every_use_case
def test_its_fallback_is_a_probability_and_it_tells_people_what_it_is_for(use_case: UseCase):
    assert 0 < use_case.fallback_score < 1
    assert use_case.decision_lead_minutes > 0
    assert use_case.question.endswith("?")
    assert use_case.intended_use
    assert use_case.limits
    assert all(team.startswith("team:") for team in vars(use_case.owner).values())


def made_up() -> UseCase:
    """A second question on the same domain: facts, and nothing else."""
    first = USE_CASES[0]
    return replace(
        first,
        name="gate_hold",
        question="Will this flight arrive late, seen one hour before departure?",
        decision_lead_minutes=60,
        slices=(Slice(name="destination", column="dest"),),
        fallback_score=0.3,
        training=replace(first.training, window_days=60),
    )


def test_a_second_use_case_is_facts_and_no_code():
    built = build_defs((*USE_CASES, made_up()), settings=Settings())
    dg.Definitions.validate_loadable(built)
    keys = {spec.key.to_user_string() for spec in built.resolve_all_asset_specs()}
    own = {name.removeprefix("gate_hold/") for name in keys if name.startswith("gate_hold/")}
    assert own == {name.removeprefix("arrival_delay/") for name in keys if name.startswith("arrival_delay/")}
    jobs = {job.name for job in built.resolve_all_job_defs()}
    assert {"gate_hold__train", "gate_hold__rollback", "flights__day"} <= jobs
    daily = built.resolve_job_def("flights__day").asset_layer.selected_asset_keys
    assert dg.AssetKey(["gate_hold", "monitoring", "decision"]) in daily
    assert {"gate_hold__release", "gate_hold__remediation"} <= {sensor.name for sensor in built.sensors or []}


def test_a_second_use_case_asks_for_its_own_window():
    built = build_defs((*USE_CASES, made_up()), settings=Settings())
    graph = built.resolve_asset_graph()
    flights = dg.AssetKey(["flights", "datasets", "flights"])

    def days(name: str) -> int:
        node = graph.get(dg.AssetKey([name, "training", "training_set"]))
        return 1 - node.partition_mappings[flights].start_offset

    assert days("gate_hold") == 60
    assert days("arrival_delay") == 365


def test_the_sample_differs_in_days_rounds_and_gates_only():
    for use_case in USE_CASES:
        small = sampled(use_case)
        assert replace(small, domain=use_case.domain, training=use_case.training, gates=use_case.gates) == use_case
        calendar = replace(small.domain, live_from=use_case.domain.live_from, last_day=use_case.domain.last_day)
        assert calendar == use_case.domain
        assert small.training.rounds < use_case.training.rounds


def test_one_switch_gives_every_room_the_sample(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLOPS_STATE", raising=False)
    monkeypatch.setenv("MLOPS_SAMPLE", "1")
    settings = Settings.from_environment()
    assert settings.use_cases == tuple(map(sampled, USE_CASES))
    assert settings.state == Settings.state / "sample"
    calendars = {spec.partitions_def for spec in build_defs(settings=settings).resolve_all_asset_specs()}
    assert {len(calendar.get_partition_keys()) for calendar in calendars if calendar} == {HISTORY_DAYS + LIVE_DAYS}
    monkeypatch.setenv("MLOPS_SAMPLE", "0")
    assert Settings.from_environment().use_cases == USE_CASES
