"""Putting snapshots online: killed at it, two at once, by Feast's own commands; the newest one is what is left."""

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.adapters.feast_feature_store import FeastFeatureStore
from mlops_assets.adapters.feature_specs import REPO
from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.ml.features import VIEWS
from mlops_assets_tests.adapters.online_writer import KEYS, NOON, snapshots
from mlops_assets_tests.ml.made_days import DAYS, world
from mlops_assets_tests.ml.made_days import snapshots as made_snapshots

pytestmark = pytest.mark.integration


@pytest.fixture(params=["sqlite", "redis"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A state folder and an online store of its own."""
    address = request.getfixturevalue("redis_address") if request.param == "redis" else ""
    known = Settings.from_environment().features
    (tmp_path / "features").mkdir()
    for remembered in known.glob("spec-*"):
        shutil.copy(remembered, tmp_path / "features")
    return replace(Settings(), state=tmp_path, online_store=address)


@pytest.mark.parametrize("view", ["origin_delays", "destination_delays"])
def test_a_write_that_was_killed_is_completed_by_writing_again(deployment: Settings, view: str) -> None:
    store = FeastFeatureStore(deployment)
    store.apply()
    # An hour earlier everything was something else.
    before = snapshots(view, seed=0, at=NOON - pd.Timedelta(hours=1))
    store.write_online(view, before)
    _kill_while_it_writes(deployment, view)
    again = FeastFeatureStore(deployment)
    after = snapshots(view, seed=1)
    left = again.online_differences(view, after)
    # Whatever the moment was: a key has all of the old values or all of the new ones.
    assert again.online_differences(view, before) == KEYS - left
    assert again.write_online(view, after) == left
    assert again.write_online(view, after) == 0
    assert again.online_differences(view, after) == 0


def _kill_while_it_writes(deployment: Settings, view: str) -> None:
    command = [sys.executable, "-m", "mlops_assets_tests.adapters.online_writer"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writer = subprocess.Popen(
        [*command, str(deployment.state), deployment.online_store], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert writer.stdout is not None
    begun = next((line for line in writer.stdout if line.strip() == view), None)
    assert begun, "the writer ended before it wrote"
    # Somewhere in the write, which takes a few hundred milliseconds; any moment is as good.
    time.sleep(random.uniform(0.0, 0.2))
    writer.kill()
    writer.wait()
    writer.stdout.close()


def test_of_two_writers_at_once_the_newer_snapshots_stay(deployment: Settings) -> None:
    stores = [FeastFeatureStore(deployment) for _ in range(2)]
    stores[0].apply()
    newer, older = (
        snapshots("origin_delays", seed=2),
        snapshots("origin_delays", seed=3, at=NOON - pd.Timedelta(hours=1)),
    )
    threads = [
        threading.Thread(target=store.write_online, args=("origin_delays", frame))
        for store, frame in zip(stores, (newer, older), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].online_differences("origin_delays", newer) == 0


def test_feasts_own_commands_work_on_the_deployments_store(deployment: Settings) -> None:
    tables, rows = DeltaTables(deployment.tables), made_snapshots(world(7, flights=400))
    for view, frame in rows.items():
        tables.replace(f"flights/features/{view}", frame, DAYS, {})
    until = f"{DAYS[2]}T12:30:00"
    assert "Created" in _feast(deployment, "plan")
    assert "origin_weather" in _feast(deployment, "apply")
    _feast(deployment, "materialize", f"{DAYS[2]}T09:30:00", until)
    _feast(deployment, "materialize-incremental", f"{DAYS[2]}T13:30:00")
    store = FeastFeatureStore(deployment)
    for view, frame in rows.items():
        known = frame[frame["event_timestamp"] <= pd.Timestamp(f"{DAYS[2]}T13:30:00Z")]
        recent = known[known["event_timestamp"] >= pd.Timestamp(f"{DAYS[2]}T12:30:00Z")]
        newest = recent.sort_values("event_timestamp").drop_duplicates(VIEWS[view].key, keep="last")
        assert len(newest)
        assert store.online_differences(view, newest) == 0


def _feast(deployment: Settings, *arguments: str) -> str:
    feast = str(Path(sys.executable).with_name("feast"))
    environment = {
        "MLOPS_STATE": str(deployment.state),
        "MLOPS_ONLINE_STORE": deployment.online_store,
        "PYTHONPATH": str(ROOT),
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run([feast, *arguments], cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
