"""On-demand transformations: features computed from the request itself, at training and at the moment of asking.

Here: ``TRANSFORMATIONS`` by name, each columns in, columns out. Belongs here: anything that needs only what the
caller sends. Does not: pandas or Feast (the server's workers import this), values that need a table
(``ml.features``).

Outputs are called ``<transformation>__<feature>``, as those of a feature view are.
"""

from collections.abc import Callable, Mapping

import numpy as np

Columns = Mapping[str, np.ndarray]
MINUTES_PER_DAY = 1440


def schedule_features(request: Columns) -> dict[str, np.ndarray]:
    """What the published schedule implies.

    Reads distance (miles), sched_dep_minute (local minutes after midnight) and sched_elapsed_minutes (minutes).
    Gives, as float64 of the same length: ``speed`` (miles per minute of block time: airlines pad slow ones) and
    ``sched_arr_minute`` (minutes after midnight of the scheduled arrival, on the clock of the departure).

    >>> schedule_features({"distance": np.array([750.0]), "sched_dep_minute": np.array([1400]),
    ...                    "sched_elapsed_minutes": np.array([150])})["schedule_features__sched_arr_minute"].tolist()
    [110.0]
    """
    departure = np.asarray(request["sched_dep_minute"], dtype=np.float64)
    elapsed = np.asarray(request["sched_elapsed_minutes"], dtype=np.float64)
    distance = np.asarray(request["distance"], dtype=np.float64)
    speed = np.divide(distance, elapsed, out=np.full(elapsed.shape, np.nan), where=elapsed > 0)
    return {
        "schedule_features__speed": speed,
        "schedule_features__sched_arr_minute": (departure + elapsed) % MINUTES_PER_DAY,
    }


TRANSFORMATIONS: Mapping[str, Callable[[Columns], dict[str, np.ndarray]]] = {"schedule_features": schedule_features}
