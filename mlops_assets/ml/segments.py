"""Which rows are a segment's: the one place that says it, for training, traffic, outcomes and monitors.

Here: ``of_segment``. Belongs here: the division of rows among the models of a use case. Does not: which segments there
are (``use_cases.segments``).

Features are not divided: a carrier's or destination's delays of late are those of all airports, for every segment.
"""

import pandas as pd

from mlops_assets.contracts import Segment


def of_segment(frame: pd.DataFrame, segment: Segment | None) -> pd.DataFrame:
    """The rows with the segment's value in its column; all rows without a segment. A missing value is in none.

    Raises KeyError that names the column when rows do not have it. No rows need no columns.

    >>> of_segment(pd.DataFrame({"origin": ["EWR", "JFK", None]}), Segment(column="origin", value="JFK")).index.tolist()
    [1]
    """
    if segment is None or frame.empty:
        return frame
    if segment.column not in frame:
        raise KeyError(f"segment.column: rows with {', '.join(map(str, frame.columns))} have no {segment.column!r}")
    return frame[frame[segment.column] == segment.value]
