"""Feast's registry keeps transformations as source: no pickle in it, and they still compute."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.adapters.settings import ROOT
from mlops_assets_tests.pickle_streams import pickles_below

READ = """
import pandas as pd
from feast import FeatureStore
view = FeatureStore(repo_path="feature_repo").get_on_demand_feature_view("schedule_features")
row = {"distance": [1400], "sched_elapsed_minutes": [140], "sched_dep_minute": [600], "day_of_week": [3]}
print(view.feature_transformation.transform(pd.DataFrame(row))["speed"][0])
"""


@pytest.mark.integration
def test_feasts_own_command_line_writes_no_pickle_and_the_transformation_is_read_back(tmp_path: Path) -> None:
    environment = {**os.environ, "MLOPS_STATE": str(tmp_path), "FEAST_USAGE": "False", "PYTHONPATH": str(ROOT)}
    feast = [str(Path(sys.executable).with_name("feast")), "-c", "feature_repo", "apply"]
    done = subprocess.run(feast, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "features" / "registry.db").exists()
    assert pickles_below(tmp_path) == []
    read = subprocess.run(
        [sys.executable, "-c", READ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert read.stdout.strip().splitlines()[-1] == "10.0", read.stderr
