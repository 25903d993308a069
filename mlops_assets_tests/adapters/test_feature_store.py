"""The feature store: one contract, kept by the twin and by Feast over Delta and SQLite."""

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.adapters.feast_feature_store import FeastFeatureStore
from mlops_assets.adapters.feature_specs import REPO, repo_spec
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.memory_feature_store import MemoryFeatureStore
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.online_reader import Snapshot
from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets.adapters.tables import DeltaTables, Tables
from mlops_assets.ml.bitemporal import corrected
from mlops_assets.ml.bundles import Missing
from mlops_assets.ml.features import VIEWS, compute, end_of, hours_of
from mlops_assets.ml.missing import FeatureMissing
from mlops_assets.ml.on_demand import TRANSFORMATIONS
from mlops_assets.ml.training import decisions, entity_frame
from mlops_assets.serving.features import view_columns
from mlops_assets_tests.ml.made_days import DAYS, snapshots, world

SERVICE = "arrival_delay_v1"
WORLD = world(7, flights=400)
SNAPSHOTS = snapshots(WORLD)
ENTITIES = entity_frame(WORLD["flights"], WORLD["arrivals"], DAYS[-1])
HOUR = hours_of(DAYS)[61]


def settings(folder: Path) -> Settings:
    """A state folder of its own, with what is known of the repo: making that takes Feast's import."""
    shutil.copytree(Settings.from_environment().features, folder / "features", ignore=_only_the_spec)
    return replace(Settings(), state=folder)


def _only_the_spec(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if not name.startswith("spec-")}


def filled(tables: Tables) -> Tables:
    for view, rows in SNAPSHOTS.items():
        tables.replace(f"flights/features/{view}", rows, DAYS, {})
    return tables


STORES = ["memory", *(pytest.param(name, marks=pytest.mark.integration) for name in ("sqlite", "redis"))]


def made(kind: str, folder: Path, request: pytest.FixtureRequest) -> tuple[FeatureStore, Tables]:
    """A store of that kind over tables of its own."""
    if kind == "memory":
        kept = filled(MemoryTables())
        return MemoryFeatureStore(kept, repo_spec()), kept
    # Each store has a database of its own: the server is shared.
    database = (
        f"{request.getfixturevalue('redis_server').removesuffix('/0')}/{next(DATABASES)}" if kind == "redis" else ""
    )
    chosen = replace(settings(folder), online_store=database)
    tables = filled(DeltaTables(chosen.tables))
    return FeastFeatureStore(chosen), tables


DATABASES = itertools.count(4)


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return made(request.param, tmp_path_factory.mktemp(request.param), request)[0]


@pytest.fixture(params=STORES)
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FeatureStore, Tables]:
    """A store with tables that a test may change."""
    return made(request.param, tmp_path, request)


def correct(tables: Tables, view: str, fresh: pd.DataFrame, learned: pd.Timestamp) -> None:
    """What the view's asset does when its days are computed again."""
    key = VIEWS[view].key
    tables.revise(
        f"flights/features/{view}", DAYS, lambda held: corrected(held, fresh, key, learned=learned, new_days=()), {}
    )


def newest(view: str, hour: pd.Timestamp = HOUR) -> pd.DataFrame:
    return compute(view, WORLD, pd.DatetimeIndex([hour]))


def by_hand(entities: pd.DataFrame, view: str, ttl: pd.Timedelta) -> list[dict[str, float | None]]:
    """The point-in-time join, row by row."""
    rows = SNAPSHOTS[view].drop(columns="day")
    found = []
    for at, key in zip(entities["event_timestamp"], entities[VIEWS[view].key], strict=True):
        mine = rows[(rows[VIEWS[view].key] == key) & (rows["event_timestamp"] <= at)]
        fresh = (
            mine[mine["event_timestamp"] >= at - ttl]
            .tail(1)
            .drop(columns=["event_timestamp", "created_timestamp", VIEWS[view].key])
        )
        values = fresh.iloc[0].to_dict() if len(fresh) else dict.fromkeys(fresh.columns)
        found.append({name: None if value is None or value != value else value for name, value in values.items()})
    return found


@pytest.mark.parametrize("view", list(VIEWS))
def test_a_training_row_has_the_newest_values_known_then(store: FeatureStore, view: str) -> None:
    entities = ENTITIES.sample(40, random_state=3).reset_index(drop=True)
    frame = store.training_frame(SERVICE, entities)
    ttl = pd.Timedelta(seconds=store.spec.view(view).ttl_seconds)
    for row, expected in zip(frame.to_dict("records"), by_hand(entities, view, ttl), strict=True):
        found = {name: row[f"{view}__{name}"] for name in expected}
        assert {name: None if value != value else value for name, value in found.items()} == expected


def test_rows_keep_their_order_and_columns(store: FeatureStore) -> None:
    entities = ENTITIES.sample(frac=1, random_state=5)
    frame = store.training_frame(SERVICE, entities)
    pd.testing.assert_frame_equal(frame[list(entities.columns)], entities.reset_index(drop=True))
    candidates = [feature.name for feature in store.inputs(SERVICE).features]
    assert set(candidates) <= set(frame.columns)
    assert frame.dtypes[[name for name in candidates if "__" in name]].eq("float64").all()


def test_an_old_value_is_missing(store: FeatureStore) -> None:
    view = store.spec.view("origin_delays")
    last = SNAPSHOTS["origin_delays"]["event_timestamp"].max()
    ages = pd.to_timedelta([view.ttl_seconds, view.ttl_seconds + 1], unit="s")
    entities = ENTITIES.iloc[:2].assign(event_timestamp=(last + ages).astype("datetime64[us, UTC]"), origin="JFK")
    found = store.training_frame(SERVICE, entities)["origin_delays__landed_share_24h"]
    assert found.notna().tolist() == [True, False]


def test_a_correction_is_seen_from_the_instant_on_at_which_it_became_known(
    alone: tuple[FeatureStore, Tables],
) -> None:
    store, tables = alone
    learned, column = HOUR + pd.Timedelta(minutes=30), "origin_delays__landed_share_24h"
    times = HOUR + pd.to_timedelta([10, 29, 30, 40], unit="m")
    asked = ENTITIES.iloc[:4].assign(event_timestamp=times.astype("datetime64[us, UTC]"), origin="JFK")
    before = store.training_frame(SERVICE, asked)[column]
    fresh = SNAPSHOTS["origin_delays"].drop(columns="created_timestamp")
    fresh = fresh.assign(landed_share_24h=fresh["landed_share_24h"] + 1)
    correct(tables, "origin_delays", fresh, learned)
    after = store.training_frame(SERVICE, asked)[column]
    assert (after - before).tolist() == [0, 0, 1, 1]


def test_a_snapshot_that_is_taken_back_is_missing_from_then_on(alone: tuple[FeatureStore, Tables]) -> None:
    store, tables = alone
    learned, column = HOUR + pd.Timedelta(minutes=30), "origin_delays__landed_share_24h"
    times = HOUR + pd.to_timedelta([29, 30], unit="m")
    asked = ENTITIES.iloc[:2].assign(event_timestamp=times.astype("datetime64[us, UTC]"), origin="JFK")
    rows = SNAPSHOTS["origin_delays"].drop(columns="created_timestamp")
    correct(tables, "origin_delays", rows[rows["event_timestamp"] < HOUR], learned)
    assert store.training_frame(SERVICE, asked)[column].notna().tolist() == [True, False]


def test_a_correction_of_long_ago_changes_no_decision_at_all(alone: tuple[FeatureStore, Tables]) -> None:
    """By the time it is known newer snapshots have taken the place of those that it is about."""
    store, tables = alone
    before = store.training_frame(SERVICE, ENTITIES)
    for view, rows in SNAPSHOTS.items():
        first_day = rows.drop(columns="created_timestamp").assign(
            **{name: rows[name] + 1 for name in rows.select_dtypes("float64").columns}
        )
        same = rows.drop(columns="created_timestamp")
        correct(tables, view, first_day.where(rows["day"] == DAYS[0], same), end_of(DAYS[2]))
    pd.testing.assert_frame_equal(store.training_frame(SERVICE, ENTITIES), before)


@pytest.fixture(params=STORES[:2])
def with_policies(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], FeatureStore]:
    """Makes a store whose repo gives the gusts another policy."""

    def make(policy: str) -> FeatureStore:
        repo = tmp_path / "repo"
        shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns("__pycache__"))
        text, unit = (repo / "flights.py").read_text(), '"Gusts; missing when there were none", "miles per hour"'
        assert unit in text
        (repo / "flights.py").write_text(text.replace(unit, f'{unit}, when_missing="{policy}"'))
        if request.param == "memory":
            return MemoryFeatureStore(filled(MemoryTables()), repo_spec(repo, tmp_path))
        filled(DeltaTables(tmp_path / "tables"))
        return FeastFeatureStore(replace(Settings(), state=tmp_path), repo)

    return make


GUSTS = "origin_weather__wind_gust"


def test_a_default_stands_for_a_missing_value_in_training_as_in_the_server(
    store: FeatureStore, with_policies: Callable[[str], FeatureStore]
) -> None:
    changed = with_policies("default:-1")
    plain, filled_in = (made.training_frame(SERVICE, ENTITIES)[GUSTS] for made in (store, changed))
    assert plain.isna().any()
    assert (filled_in == plain.fillna(-1)).all()
    (weather,) = (view for view in changed.inputs(SERVICE).views if view.name == "origin_weather")
    assert weather.when_missing == (Missing("wind_gust", "default", -1.0),)
    held = Snapshot(0.0, dict.fromkeys(weather.features))
    assert view_columns(weather, ["JFK"], [0.0], {"JFK": held}).columns[GUSTS].tolist() == [-1.0]
    assert changed.service_digest(SERVICE) != store.service_digest(SERVICE)


def test_a_feature_that_must_be_there_stops_a_training_set_and_says_which_decision(
    with_policies: Callable[[str], FeatureStore],
) -> None:
    store = with_policies("fail")
    with pytest.raises(FeatureMissing, match=f"{GUSTS} is missing for .* of {len(ENTITIES)} decisions") as told:
        store.training_frame(SERVICE, ENTITIES)
    rest = ENTITIES.drop(index=list(told.value.positions))
    assert store.training_frame(SERVICE, rest)[GUSTS].notna().all()


def test_a_policy_that_is_none_is_refused_by_the_features_name(with_policies: Callable[[str], FeatureStore]) -> None:
    with pytest.raises(ValueError, match="wind_gust: when_missing must be null, fail or default"):
        with_policies("guess").inputs(SERVICE)


def test_on_demand_features_are_those_of_the_one_implementation(store: FeatureStore) -> None:
    frame = store.training_frame(SERVICE, ENTITIES)
    expected = TRANSFORMATIONS["schedule_features"]({name: ENTITIES[name].to_numpy() for name in ENTITIES.columns})
    for name, values in expected.items():
        assert (frame[name].to_numpy() == values).all()


def test_what_went_online_comes_back_to_the_last_bit(store: FeatureStore) -> None:
    for view in VIEWS:
        store.write_online(view, newest(view))
        assert store.online_differences(view, newest(view)) == 0


def test_only_what_is_new_or_changed_is_written(alone: tuple[FeatureStore, Tables]) -> None:
    store, _ = alone
    frame = newest("origin_delays")
    assert store.write_online("origin_delays", frame) == len(frame)
    assert store.write_online("origin_delays", frame) == 0
    changed = frame.assign(late_share_3h=[0.125, *frame["late_share_3h"][1:]])
    assert store.write_online("origin_delays", changed) == 1
    assert store.online_differences("origin_delays", changed) == 0


def test_an_older_snapshot_does_not_take_the_place_of_a_newer_one(alone: tuple[FeatureStore, Tables]) -> None:
    store, _ = alone
    now, hour_ago = newest("origin_delays"), newest("origin_delays", HOUR - pd.Timedelta(hours=1))
    store.write_online("origin_delays", now)
    assert store.write_online("origin_delays", hour_ago) == 0
    later = now.assign(created_timestamp=now["event_timestamp"] + pd.Timedelta(hours=5), late_share_24h=0.5)
    assert store.write_online("origin_delays", later) == len(now)
    assert store.write_online("origin_delays", now) == 0
    assert store.online_differences("origin_delays", later) == 0
    next_hour = newest("origin_delays", HOUR + pd.Timedelta(hours=1))
    assert store.write_online("origin_delays", next_hour) == len(next_hour)


def test_a_difference_in_value_or_time_is_seen(store: FeatureStore) -> None:
    frame = newest("origin_delays")
    store.write_online("origin_delays", frame)
    changed = frame.copy()
    changed.loc[0, "mean_arr_delay_24h"] = np.nextafter(changed.loc[0, "mean_arr_delay_24h"], np.inf)
    assert store.online_differences("origin_delays", changed) == 1
    hour_later = newest("origin_delays", HOUR + pd.Timedelta(hours=1))
    assert store.online_differences("origin_delays", hour_later) == len(frame)
    assert store.online_differences("origin_delays", frame.assign(origin="XXX")) == len(frame)


def test_what_is_asked_now_equals_what_training_finds_of_now(store: FeatureStore) -> None:
    """Online and offline are one: fed hour by hour, the same decision gets the same values, exactly."""
    for hours_ago in range(6, -1, -1):
        for view in VIEWS:
            store.write_online(view, newest(view, HOUR - pd.Timedelta(hours=hours_ago)))
    asked = decisions(WORLD["flights"])
    now = asked[(asked["event_timestamp"] >= HOUR) & (asked["event_timestamp"] < HOUR + pd.Timedelta(hours=1))]
    assert len(now)
    names = [feature.name for feature in store.inputs(SERVICE).features]
    fields = [field.name for field in store.inputs(SERVICE).request_fields]
    online = store.online(SERVICE, now[fields].to_dict("records"))
    offline = store.training_frame(SERVICE, now)[names]
    found = pd.DataFrame(online)[names].astype(offline.dtypes.to_dict())
    pd.testing.assert_frame_equal(found, offline, check_exact=True)


def test_a_key_that_was_never_written_is_missing_and_no_error(store: FeatureStore) -> None:
    row = decisions(WORLD["flights"]).iloc[0].drop(["day", "event_timestamp"]).to_dict()
    (answer,) = store.online(SERVICE, [{**row, "dest": "ZZZ"}])
    assert answer["destination_delays__landed_share_24h"] is None
    assert answer["schedule_features__speed"] > 0
    assert store.snapshots("destination_delays", ["ZZZ"]) == [None]


@pytest.mark.integration
def test_feasts_own_call_for_the_service_gives_the_same_frame(tmp_path: Path) -> None:
    """Through its door to the on-demand view, which the store's own call goes around."""
    chosen = settings(tmp_path)
    filled(DeltaTables(chosen.tables))
    store = FeastFeatureStore(chosen)
    service = store._feast.get_feature_service(SERVICE)
    theirs = store._feast.get_historical_features(ENTITIES, service, full_feature_names=True).to_df()
    ours = store.training_frame(SERVICE, ENTITIES)
    names = [feature.name for feature in store.inputs(SERVICE).features]
    pd.testing.assert_frame_equal(ours[names], theirs[names], check_exact=True)


def test_an_unknown_service_is_an_error_that_lists_the_known(store: FeatureStore) -> None:
    with pytest.raises(KeyError, match=SERVICE):
        store.training_frame("nothing", ENTITIES)
    with pytest.raises(KeyError, match=SERVICE):
        store.inputs("nothing")


def test_pinned_versions_are_read_whatever_was_written_since(tmp_path: Path) -> None:
    tables = filled(MemoryTables())
    store = MemoryFeatureStore(tables)
    _pins_hold(store, tables)


@pytest.mark.integration
def test_feast_reads_pinned_versions_whatever_was_written_since(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    tables = filled(DeltaTables(chosen.tables))
    _pins_hold(FeastFeatureStore(chosen), tables)


def _pins_hold(store: FeatureStore, tables: Tables) -> None:
    names = [f"flights/features/{view}" for view in VIEWS]
    pins = {name: version for name in names if (version := tables.version(name)) is not None}
    before = store.training_frame(SERVICE, ENTITIES, pins)
    for name in names:
        tables.replace(name, tables.read(name).iloc[:0], DAYS, {})
    pd.testing.assert_frame_equal(store.training_frame(SERVICE, ENTITIES, pins), before)
    assert store.training_frame(SERVICE, ENTITIES)["carrier_delays__landed_share_24h"].isna().all()
    with pytest.raises(KeyError, match="origin_weather"):
        store.training_frame(SERVICE, ENTITIES, {name: pins[name] for name in names[1:]})


@pytest.mark.integration
def test_feasts_own_materialize_fills_the_online_store(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    filled(DeltaTables(chosen.tables))
    store = FeastFeatureStore(chosen)
    store.apply()
    until = (HOUR + pd.Timedelta(minutes=30)).to_pydatetime()
    store._feast.materialize(until - pd.Timedelta(hours=2), until)
    for view in VIEWS:
        latest = SNAPSHOTS[view][SNAPSHOTS[view]["event_timestamp"] <= HOUR].sort_values("event_timestamp")
        recent = latest[latest["event_timestamp"] > HOUR - pd.Timedelta(hours=1)]
        newest_rows = recent.drop_duplicates(VIEWS[view].key, keep="last")
        assert store.online_differences(view, newest_rows) == 0


@pytest.mark.integration
def test_feasts_command_line_finds_the_state_folder_from_anywhere(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("feast")), "-c", str(REPO)]
    environment = {"MLOPS_STATE": str(tmp_path / "state"), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    for cwd, verb in ((ROOT, ["apply"]), (tmp_path, ["feature-services", "list"])):
        done = subprocess.run([*command, *verb], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert SERVICE in done.stdout
    assert {path.name for path in (tmp_path / "state/features").glob("*.db")} == {"registry.db", "online.db"}
    assert not (REPO / "data").exists()


def test_a_repo_changed_in_meaning_has_another_service_digest() -> None:
    spec = repo_spec()
    digest = MemoryFeatureStore(MemoryTables(), spec).service_digest(SERVICE)
    views = list(spec.views)
    views[0] = type(views[0])(**{**{f: getattr(views[0], f) for f in views[0].__struct_fields__}, "ttl_seconds": 60})
    other = type(spec)(**{**{f: getattr(spec, f) for f in spec.__struct_fields__}, "views": tuple(views)})
    assert MemoryFeatureStore(MemoryTables(), other).service_digest(SERVICE) != digest


def test_every_view_says_what_it_is() -> None:
    for view in repo_spec().views:
        assert view.description
        assert view.owner == "team:data"
        assert view.ttl_seconds > 0
        assert view.table == f"flights/features/{view.name}"
        assert all(field.description and field.dtype == "float64" for field in view.fields)


def test_inputs_fit_a_signature() -> None:
    inputs = MemoryFeatureStore(MemoryTables()).inputs(SERVICE)
    assert [field.name for field in inputs.request_fields] == [
        "flight_id", "origin", "carrier", "dest", "distance", "sched_dep_minute", "day_of_week",
        "sched_elapsed_minutes",
    ]  # fmt: skip
    assert {f.name for f in inputs.features if f.kind == "category"} == {"origin", "carrier", "dest"}
    assert "flight_id" not in {feature.name for feature in inputs.features}
    assert [view.name for view in inputs.views] == list(VIEWS)
    assert inputs.transformations == ("schedule_features",)
    assert len({feature.name for feature in inputs.features}) == len(inputs.features) == 44
