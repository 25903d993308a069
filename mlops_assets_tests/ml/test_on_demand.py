"""On-demand transformations: what the server computes from a request."""

import subprocess
import sys

import numpy as np

from mlops_assets.ml.on_demand import TRANSFORMATIONS, schedule_features

REQUEST = {
    "distance": np.array([750.0, 200.0]),
    "sched_dep_minute": np.array([1400, 60]),
    "sched_elapsed_minutes": np.array([150, 0]),
}


def test_the_arrival_minute_runs_over_midnight() -> None:
    assert schedule_features(REQUEST)["schedule_features__sched_arr_minute"].tolist() == [110.0, 60.0]


def test_no_block_time_gives_no_speed() -> None:
    speed = schedule_features(REQUEST)["schedule_features__speed"]
    assert speed[0] == 5.0
    assert np.isnan(speed[1])


def test_every_transformation_names_its_features_after_itself() -> None:
    for name, transform in TRANSFORMATIONS.items():
        result = transform(REQUEST)
        assert all(column.startswith(f"{name}__") for column in result)
        assert all(values.shape == (2,) and values.dtype == np.float64 for values in result.values())


def test_one_row_alone_gets_what_it_gets_among_others() -> None:
    for transform in TRANSFORMATIONS.values():
        alone = transform({name: values[:1] for name, values in REQUEST.items()})
        assert {name: v[0] for name, v in alone.items()} == {name: v[0] for name, v in transform(REQUEST).items()}


def test_the_server_can_import_it_without_pandas() -> None:
    code = "import sys, mlops_assets.ml.on_demand; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
