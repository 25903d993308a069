"""Training sets: which decisions a model learns from, and the frozen file that names them for ever.

Here: the entity frame (decisions with their labels), the query that says which, its freezing to bytes. Belongs here:
what decides whether a row may be learned from. Does not: the point-in-time join (``adapters.feature_store``), fitting
(``ml.models``).

A decision is taken a fixed lead before the scheduled departure. Its label is known when the flight has landed; a
flight that was cancelled or diverted never gets one and is never a row.
"""

import hashlib
import io
from collections.abc import Sequence

import pandas as pd

from mlops_assets.contracts import EntityQuery, UseCase
from mlops_assets.ml.features import LATE_MINUTES
from mlops_assets.ml.schedules import INSTANT
from mlops_assets.ml.segments import of_segment

LEAD_MINUTES = 120
LABEL = "is_late"
REQUEST_FIELDS = (
    "carrier", "origin", "dest", "distance", "sched_dep_minute", "day_of_week", "sched_elapsed_minutes",
)  # fmt: skip
ENTITY_COLUMNS = (
    "flight_id", "day", "event_timestamp", "landed_at", "known_day", *REQUEST_FIELDS, "arr_delay", LABEL,
)  # fmt: skip


def entity_query(
    use_case: UseCase, decisions_table: str, outcomes_table: str, first_day: str, cutoff_day: str
) -> EntityQuery:
    """What the training set of a cut-off day asks the tables, by the facts of its use case."""
    lead, window = use_case.decision_lead_minutes, use_case.training.window_days
    since = "of all days so far" if window is None else f"of the last {window} days"
    own, part = use_case.segment, ""
    if own is not None:
        part = f" whose {own.column} is {own.value}"
    return EntityQuery(
        text=(
            f"Every flight of {decisions_table}{part} scheduled from {first_day} to {cutoff_day} ({since}) that had "
            f"landed, by {outcomes_table}, by the end of {cutoff_day}; decided {lead} minutes before its scheduled "
            f"departure; {use_case.label} is 1 for an arrival {LATE_MINUTES} minutes or more after schedule, else 0."
        ),
        decisions_table=decisions_table,
        outcomes_table=outcomes_table,
        label=use_case.label,
        lead_minutes=lead,
        late_minutes=LATE_MINUTES,
        first_day=first_day,
        cutoff_day=cutoff_day,
        window_days=window,
        segment=own,
    )


def asked(query: EntityQuery, flights: pd.DataFrame, arrivals: pd.DataFrame) -> pd.DataFrame:
    """The entity frame that a query asks for."""
    own = of_segment(flights, query.segment)
    frame = entity_frame(own, arrivals, query.cutoff_day, query.window_days, query.lead_minutes, query.late_minutes)
    return frame.rename(columns={LABEL: query.label})


def decisions(flights: pd.DataFrame, lead_minutes: int = LEAD_MINUTES) -> pd.DataFrame:
    """What a caller knows and asks at decision time, one row per scheduled flight.

    Columns flight_id, day, event_timestamp (UTC, the decision) and REQUEST_FIELDS; ordered by event_timestamp and
    flight_id.
    """
    at = (flights["sched_dep_at"] - pd.Timedelta(minutes=lead_minutes)).astype(INSTANT)
    frame = flights[["flight_id", "day", *REQUEST_FIELDS]].assign(event_timestamp=at)
    columns = ["flight_id", "day", "event_timestamp", *REQUEST_FIELDS]
    return frame[columns].sort_values(["event_timestamp", "flight_id"], kind="stable", ignore_index=True)


def entity_frame(
    flights: pd.DataFrame,
    arrivals: pd.DataFrame,
    cutoff_day: str,
    window_days: int | None = None,
    lead_minutes: int = LEAD_MINUTES,
    late_minutes: int = LATE_MINUTES,
) -> pd.DataFrame:
    """The decisions that a model cut off at the end of ``cutoff_day`` may learn from, with their labels.

    A decision counts when its flight was scheduled in the window (``window_days`` days that end with the cut-off day;
    None: all) and had landed by the end of that day. Returns ENTITY_COLUMNS, where known_day is the day of the
    landing and is_late is 1 for an arrival ``late_minutes`` or more after schedule; ordered by event_timestamp and
    flight_id.
    """
    first = "" if window_days is None else _shift(cutoff_day, 1 - window_days)
    inside = flights[(flights["day"] >= first) & (flights["day"] <= cutoff_day)]
    known = arrivals[arrivals["day"] <= cutoff_day][["flight_id", "day", "landed_at", "arr_delay"]]
    known = known.rename(columns={"day": "known_day"})
    frame = decisions(inside, lead_minutes).merge(known, on="flight_id", how="inner", validate="one_to_one")
    frame[LABEL] = (frame["arr_delay"] >= late_minutes).astype("int64")
    ordered = frame.sort_values(["event_timestamp", "flight_id"], kind="stable", ignore_index=True)
    return ordered[list(ENTITY_COLUMNS)]


def freeze(frame: pd.DataFrame) -> tuple[bytes, str]:
    """A frame as Parquet bytes that are the same for the same rows, with their digest.

    Returns (content, SHA-256 of the content). The writer's version is part of the bytes: under another pyarrow
    compare ``ml.digests.content_digest``, which is not.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd", use_dictionary=True, store_schema=False)
    content = sink.getvalue()
    return content, hashlib.sha256(content).hexdigest()


def thaw(content: bytes, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The frame that ``freeze`` made the bytes from, or those of the columns that it has."""
    from pyarrow import parquet

    frame = parquet.read_table(io.BytesIO(content), columns=None if columns is None else list(columns)).to_pandas()
    instants = frame.select_dtypes(include="datetimetz").columns
    return frame.astype(dict.fromkeys(instants, INSTANT))


def _shift(day: str, days: int) -> str:
    return (pd.Timestamp(day) + pd.Timedelta(days=days)).strftime("%Y-%m-%d")
