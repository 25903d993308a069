"""Two writers of one Delta table at once: the later one does its work again, or is told that it came too late.

Here: ``retried``, ``unmoved``. Belongs here: optimistic concurrency. Does not: locks of one machine
(``adapters.locks``), writing (``adapters.tables``).
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# Eight writers of the same day at once need eight tries at most; a try takes about 20 ms.
TRIES = 40


class TableMoved(RuntimeError):
    """Somebody else wrote first: what this write stands on is not the table's present state."""


def unmoved(table: str, rows: int, expected: int) -> None:
    """Raise TableMoved when a table that is only added to holds other than the expected number of rows (-1: any)."""
    if expected >= 0 and rows != expected:
        raise TableMoved(f"table {table} holds {rows} rows, this write stands on {expected}: read it again")


def retried(write: Callable[[], T]) -> T:
    """What ``write`` returns, doing it again a little later while another writer came first.

    ``write`` must open the table itself, so that a repetition sees what the other one wrote. Raises deltalake's
    CommitFailedError after TRIES repetitions.
    """
    from deltalake.exceptions import CommitFailedError

    for attempt in range(TRIES):
        try:
            return write()
        except CommitFailedError:
            if attempt == TRIES - 1:
                raise
            # Only the waiting is random; it spreads writers that would collide again.
            time.sleep(random.uniform(0.005, 0.02) * (attempt + 1))
    raise AssertionError("the last repetition returns or raises")
