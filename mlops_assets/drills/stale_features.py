"""The online store takes no new snapshot, and nobody is told: writes seem to succeed, the server reads yesterday's.

Here: the incident and what must be seen of it. Belongs here: nothing else.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mlops_assets.drills.drill import Drill, Forbidden, Phase, Source, Wanted
from mlops_assets.drills.promises import TURNED_AWAY
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.scene import Scene


def play(scene: Scene) -> None:
    """Drop every write, live a day; then a person lets writes in again, and the next day is lived."""
    system, store = scene.system, Path(scene.system.settings.online_address)
    scene.known["good"] = system.champion().digest
    stopped = drop_writes(store)
    scene.inject(f"the online store ({store.name}) drops every write to its {stopped} tables in silence")
    day = system.live()
    scene.practise("why", day)
    scene.practise("alerts")
    scene.notes.append("mended by hand: the online store takes writes again, and the day's partition is made anew")
    take_writes(store)
    system.day_again(day)
    scene.live_until("a decision that is no hold", lambda: not scene.is_held(), 1)


def drop_writes(store: Path) -> int:
    """Have the database ignore what is written to the views' tables, without an error; how many tables that are."""
    with closing(sqlite3.connect(store, timeout=30)) as connection, connection:
        tables = list(_tables(connection))
        for table in tables:
            for event in ("INSERT", "UPDATE"):
                dropped = f'BEFORE {event} ON "{table}" BEGIN SELECT RAISE(IGNORE); END'
                connection.execute(f'CREATE TRIGGER "drill_{event}_{table}" {dropped}')
    if not tables:
        raise DrillFailed(f"{store} has no tables of features")
    return len(tables)


def take_writes(store: Path) -> None:
    """The same database as before."""
    with closing(sqlite3.connect(store, timeout=30)) as connection, connection:
        named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'drill_%'")
        for (trigger,) in named.fetchall():
            connection.execute(f'DROP TRIGGER "{trigger}"')


def _tables(connection: sqlite3.Connection) -> Iterator[str]:
    yield from (name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))


STALE_FEATURES = Drill(
    name="stale_features",
    injects="the online store drops every write in silence, so that the server reads the snapshots of the day before",
    runbook="hold",
    play=play,
    days=2,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="the monitor feature_skew says that served features are not those that are recomputed",
            source=Source.MONITORS,
            facts={"name": "feature_skew", "verdict": "alarm"},
        ),
        Wanted(
            phase=Phase.DETECTION,
            promise="the check online_equals_offline fails",
            source=Source.CHECKS,
            facts={"check": "online_equals_offline", "passed": "no"},
        ),
        Wanted(
            phase=Phase.DECISION,
            promise="the decision is to hold",
            source=Source.DECISIONS,
            facts={"action": "hold"},
            says="feature_skew",
        ),
        Wanted(
            phase=Phase.TOLD,
            promise="people are told of the failed check",
            source=Source.ALERTS,
            facts={"runbook": "failed_check.md", "over": "no"},
        ),
        Wanted(
            phase=Phase.TOLD,
            promise="people are told of the hold",
            source=Source.ALERTS,
            facts={"runbook": "hold.md", "over": "no"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="the check passes on the same day, and people are told that it is over",
            source=Source.ALERTS,
            facts={"runbook": "failed_check.md", "over": "yes"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="of the next day, feature_skew has nothing to say",
            source=Source.MONITORS,
            facts={"name": "feature_skew", "verdict": "ok"},
        ),
    ),
    forbidden=(
        Forbidden(
            promise="a model is trained on what stale features taught",
            source=Source.DECISIONS,
            facts={"action": "retrain"},
        ),
        Forbidden(
            promise="a champion is rolled back because of stale features",
            source=Source.HISTORY,
            facts={"kind": "rolled_back"},
        ),
        TURNED_AWAY,
    ),
)
