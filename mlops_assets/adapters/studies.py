"""Where searches for parameters are kept while they run, so that a killed one goes on where it was.

Here: ``Studies``, its database file and its in-memory twin. Belongs here: opening an Optuna storage. Does not: the
search (``ml.parameter_search``), its result (an artifact of the asset ``parameter_study``).
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlops_assets.adapters.locks import locked


class Studies(ABC):
    """Optuna storages by use case."""

    @abstractmethod
    def open(self, use_case: str) -> contextlib.AbstractContextManager[Any]:
        """The storage of a use case's studies, for one search at a time: a second one waits for the first to end."""


class SqliteStudies(Studies):
    """One SQLite file for each use case: numbers and JSON, nothing pickled."""

    def __init__(self, folder: Path) -> None:
        """Nothing is created before it is needed."""
        self._folder = folder

    @contextlib.contextmanager
    def open(self, use_case: str) -> Iterator[Any]:
        """As in Studies. A process that dies lets go of the lock."""
        with locked(self._folder / f"{use_case}.lock"):
            from optuna.storages import RDBStorage

            storage = RDBStorage(f"sqlite:///{self._folder / use_case}.db")
            try:
                yield storage
            finally:
                storage.engine.dispose()


class MemoryStudies(Studies):
    """The in-memory twin."""

    def __init__(self) -> None:
        self._storages: dict[str, Any] = {}

    @contextlib.contextmanager
    def open(self, use_case: str) -> Iterator[Any]:
        """As in Studies, within one thread."""
        from optuna.storages import InMemoryStorage

        yield self._storages.setdefault(use_case, InMemoryStorage())
