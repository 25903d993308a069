"""One process at a time: a lock on a file, let go by the operating system when its holder dies.

Here: ``locked``. Belongs here: mutual exclusion on one machine. Does not: agreement between machines.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of that name for one block; waits for whoever holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
