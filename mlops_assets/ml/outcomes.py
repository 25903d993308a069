"""Which outcome belongs to which answer.

Here: the join of logged traffic with arrivals. Belongs here: what makes an outcome known, and its label. Does not:
judging either (``ml.performance``).
"""

import pandas as pd

from mlops_assets.contracts import Arm
from mlops_assets.ml.features import LATE_MINUTES

LONGEST_FLIGHT_DAYS = 2
"""An answer's outcome comes at most two days later: the longest flight takes 11 hours, the longest delay was 21."""
OUTCOME_COLUMNS = ("flight_id", "day", "landed_at", "dep_delay", "arr_delay")


def all_arms(traffic: pd.DataFrame) -> pd.DataFrame:
    """Logged traffic with the columns of every arm, also of those that nobody held: their values are missing."""
    columns = {}
    for arm in Arm:
        for name, kind in (("score", "float64"), ("version", "float64"), ("digest", object), ("took_ms", "float64")):
            column = f"{arm}_{name}"
            values = traffic[column] if column in traffic else pd.Series(None, index=traffic.index, dtype=object)
            columns[column] = values.astype(kind)
    return traffic.assign(**columns, version=traffic["version"].astype("float64"))


def join_outcomes(traffic: pd.DataFrame, arrivals: pd.DataFrame) -> pd.DataFrame:
    """One row per answer whose flight landed: the columns of traffic, asked_day, the outcome and is_late.

    ``day`` is the day on which the outcome became known; rows come in the order of landing. A flight that was asked
    about more than once counts once, with its first answer.
    """
    if traffic.empty:
        return pd.DataFrame(columns=["flight_id", "day", "asked_day", "landed_at", "dep_delay", "arr_delay", "is_late"])
    asked = traffic.rename(columns={"day": "asked_day"}).sort_values("received_at", kind="stable")
    asked = asked.drop_duplicates("flight_id", keep="first")
    rows = arrivals[list(OUTCOME_COLUMNS)].merge(asked, on="flight_id", how="inner", validate="one_to_one")
    rows["is_late"] = (rows["arr_delay"] >= LATE_MINUTES).astype("int64")
    return rows.sort_values(["landed_at", "flight_id"], kind="stable", ignore_index=True)
