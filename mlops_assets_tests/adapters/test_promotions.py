"""The history is only ever added to, and answers who was where when."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.promotions import HistoryMoved, Promotions, promotions_table
from mlops_assets.adapters.tables import DeltaTables, Tables
from mlops_assets.contracts import Arm, Transition

MODEL = "arrival_delay"


@pytest.fixture(params=["memory", "delta"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Tables:
    return MemoryTables() if request.param == "memory" else DeltaTables(tmp_path)


@pytest.fixture
def promotions(tables: Tables) -> Promotions:
    return Promotions(tables)


def line(event_id: str, version: int, kind: str, arms: tuple[str | None, str | None], **changes: object) -> Transition:
    facts = {
        "event_id": event_id,
        "at": "2026-01-01T00:00:00.000000Z",
        "day": "2013-04-01",
        "model": MODEL,
        "version": version,
        "digest": f"{version:064x}",
        "from_arm": arms[0],
        "to_arm": arms[1],
        "kind": kind,
        "by": "sensor:test",
        "reason": "because",
    }
    return Transition(**(facts | changes))  # pyright: ignore[reportArgumentType]


def test_a_line_comes_back_as_it_was_written(promotions: Promotions) -> None:
    evidence = {"brier": 0.17, "gates": ["auc", "slices"], "worst": {"carrier": "UA", "rows": None}}
    written = line("a", 1, "promoted", (None, "champion"), evidence=evidence, dagster_run_id="run")
    promotions.record([written])
    assert promotions.all(MODEL) == [written]
    assert promotions.find(MODEL, "a") == written
    assert promotions.find(MODEL, "b") is None


def test_a_model_nobody_registered_has_no_history(promotions: Promotions) -> None:
    assert promotions.all("nobody") == []
    assert promotions.arms("nobody") == {}
    assert promotions.champion_at("nobody", "2013-04-01") is None
    assert promotions.previous_champion("nobody") is None
    assert promotions.canary_basis_points("nobody") == 0
    promotions.record([])


def test_the_same_event_again_is_not_repeated(promotions: Promotions) -> None:
    promotions.record([line("a", 1, "promoted", (None, "champion"))])
    promotions.record([line("a", 1, "promoted", (None, "champion"), reason="said differently")])
    assert [told.reason for told in promotions.all(MODEL)] == ["because"]


def test_lines_stay_in_order_when_the_clock_stands_still_or_goes_back(promotions: Promotions) -> None:
    promotions.record([line("z", 1, "shadow", (None, "shadow")), line("y", 1, "canary", ("shadow", "canary"))])
    promotions.record([line("x", 1, "promoted", ("canary", "champion"), at="2025-12-31T00:00:00Z")])
    history = promotions.all(MODEL)
    assert [told.event_id for told in history] == ["z", "y", "x"]
    assert [told.at[-7:] for told in history] == ["000000Z", "000001Z", "000002Z"]
    assert set(promotions.arms(MODEL)) == {Arm.CHAMPION}


def test_nothing_is_ever_rewritten(tables: Tables, promotions: Promotions) -> None:
    promotions.record([line("a", 1, "promoted", (None, "champion"))])
    promotions.record([line("b", 2, "shadow", (None, "shadow"))])
    version = tables.version(promotions_table(MODEL))
    promotions.record([line("b", 2, "shadow", (None, "shadow"))])
    assert tables.version(promotions_table(MODEL)) == version
    assert len(promotions.all(MODEL)) == 2


@pytest.fixture
def life(promotions: Promotions) -> Promotions:
    """1 champion; 2 takes over by canary; 3 forced in and rolled back; 4 in canary."""
    promotions.record([line("1", 1, "promoted", (None, "champion"), at="2026-01-01T00:00:01Z")])
    promotions.record([line("2s", 2, "shadow", (None, "shadow"), at="2026-01-01T00:00:02Z", day="2013-04-10")])
    promotions.record(
        [line("2c", 2, "canary", ("shadow", "canary"), evidence={"canary_basis_points": 2000}, day="2013-04-12")]
    )
    promotions.record(
        [
            line("2p", 2, "promoted", ("canary", "champion"), at="2026-01-01T00:00:10Z", day="2013-04-20"),
            line("1r", 1, "retired", ("champion", None), day="2013-04-20"),
        ]
    )
    promotions.record(
        [
            line("3o", 3, "override", (None, "champion"), at="2026-01-01T00:00:20Z", day="2013-05-01"),
            line("2r", 2, "retired", ("champion", None), day="2013-05-01"),
        ]
    )
    promotions.record(
        [
            line("2b", 2, "restored", (None, "champion"), at="2026-01-01T00:00:30Z", day="2013-05-04"),
            line("3r", 3, "rolled_back", ("champion", None), day="2013-05-04"),
        ]
    )
    promotions.record(
        [line("4c", 4, "canary", (None, "canary"), evidence={"canary_basis_points": 500}, day="2013-05-05")]
    )
    return promotions


def test_the_present_arms_are_the_sum_of_the_history(life: Promotions) -> None:
    assert {arm: told.version for arm, told in life.arms(MODEL).items()} == {Arm.CHAMPION: 2, Arm.CANARY: 4}
    assert life.canary_basis_points(MODEL) == 500


@pytest.mark.parametrize(
    ("moment", "version"),
    [
        ("2013-03-31", None),
        ("2013-04-01", 1),
        ("2013-04-19", 1),
        ("2013-04-20", 2),
        ("2013-05-03", 3),
        ("2013-05-04", 2),
        ("2014-01-01", 2),
        ("2026-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:01Z", 1),
        ("2026-01-01T00:00:15Z", 2),
        ("2026-01-01T00:00:20Z", 3),
        ("2026-01-01T00:00:29.999Z", 3),
        ("2026-01-01T01:00:40+01:00", 2),
    ],
)
def test_champion_at_is_a_query(life: Promotions, moment: str, version: int | None) -> None:
    champion = life.champion_at(MODEL, moment)
    assert (champion.version if champion else None) == version


def test_a_line_that_is_dated_back_does_not_rewrite_the_days_in_between(promotions: Promotions) -> None:
    promotions.record([line("1", 1, "promoted", (None, "champion"), day="2013-04-01")])
    promotions.record([line("2", 2, "promoted", (None, "champion"), day="2013-04-10")])
    promotions.record([line("1b", 1, "override", (None, "champion"), day="2013-04-04")])
    by_day = [promotions.champion_at(MODEL, day) for day in ("2013-04-03", "2013-04-07", "2013-04-10")]
    assert [told.event_id if told else None for told in by_day] == ["1", "1", "1b"]


def test_a_registration_of_an_older_day_hides_nothing(promotions: Promotions) -> None:
    promotions.record([line("1", 1, "promoted", (None, "champion"), day="2013-04-10")])
    promotions.record([line("2r", 2, "registered", (None, None), day="2013-06-01")])
    promotions.record([line("3", 3, "promoted", (None, "champion"), day="2013-04-20")])
    champion = promotions.champion_at(MODEL, "2013-04-20")
    assert champion is not None
    assert champion.version == 3


@pytest.mark.parametrize("moment", ["yesterday", "2013-13-01", "2013-05-02T12:00", "2013-5-2", ""])
def test_a_moment_that_is_no_moment_is_refused_with_an_example(life: Promotions, moment: str) -> None:
    with pytest.raises(ValueError, match=r"neither a day like|has no zone"):
        life.champion_at(MODEL, moment)


def test_a_move_decided_on_arms_that_moved_since_is_refused_and_says_who_was_faster(promotions: Promotions) -> None:
    promotions.record([line("1", 1, "promoted", (None, "champion"))])
    seen = promotions.arms(MODEL)
    faster = line("2", 2, "promoted", (None, "champion"), by="operator:ann", reason="known good")
    promotions.record([faster, line("1r", 1, "retired", ("champion", None))], seen)
    with pytest.raises(HistoryMoved, match=r"version 3 as promoted: meanwhile operator:ann .*version 2.*known good"):
        promotions.record([line("3", 3, "promoted", (None, "champion"))], seen)
    assert [told.event_id for told in promotions.all(MODEL)] == ["1", "2", "1r"]


def test_a_line_that_moves_no_arm_stands_in_nobodys_way(promotions: Promotions) -> None:
    promotions.record([line("1", 1, "promoted", (None, "champion"))])
    seen = promotions.arms(MODEL)
    promotions.record([line("2", 2, "registered", (None, None))])
    promotions.record([line("3", 3, "promoted", (None, "champion"))], seen)
    assert [told.event_id for told in promotions.all(MODEL)] == ["1", "2", "3"]


def test_a_repeated_move_is_known_although_the_arms_moved_on(promotions: Promotions) -> None:
    promotions.record([line("1", 1, "promoted", (None, "champion"))], {})
    promotions.record([line("2", 2, "promoted", (None, "champion"))])
    promotions.record([line("1", 1, "promoted", (None, "champion"))], {})
    assert len(promotions.all(MODEL)) == 2


def test_at_no_instant_of_a_change_is_there_no_champion(life: Promotions) -> None:
    instants = [told.at for told in life.all(MODEL)]
    assert all(life.champion_at(MODEL, instant) for instant in instants)


def test_the_previous_champion_is_never_one_that_was_rolled_back(life: Promotions) -> None:
    previous = life.previous_champion(MODEL)
    assert previous is not None
    assert previous.version == 1


def test_a_version_that_was_rolled_back_and_proved_itself_later_counts_again(life: Promotions) -> None:
    life.record([line("3p", 3, "override", (None, "champion")), line("2r2", 2, "retired", ("champion", None))])
    life.record([line("5p", 5, "promoted", (None, "champion")), line("3r2", 3, "retired", ("champion", None))])
    previous = life.previous_champion(MODEL)
    assert previous is not None
    assert previous.version == 3


def test_histories_of_two_models_do_not_mix(promotions: Promotions) -> None:
    promotions.record([line("a", 1, "promoted", (None, "champion"))])
    promotions.record([line("a", 7, "promoted", (None, "champion"), model="other")])
    assert [told.version for told in promotions.all("other")] == [7]


def test_two_writers_at_once_lose_no_line(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    Promotions(tables).record([line("first", 1, "promoted", (None, "champion"))])
    writes: list[Callable[[], None]] = [
        lambda n=n: Promotions(tables).record([line(f"w{n}", n, "shadow", (None, "shadow"))]) for n in (2, 3, 4)
    ]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda write: write(), writes))
    assert {told.version for told in Promotions(tables).all(MODEL)} == {1, 2, 3, 4}


def test_writers_at_once_on_the_same_arms_leave_one_line_and_the_others_are_told(tmp_path: Path) -> None:
    Promotions(DeltaTables(tmp_path)).record([line("0", 1, "promoted", (None, "champion"))])
    seen = Promotions(DeltaTables(tmp_path)).arms(MODEL)

    def move(number: int) -> str:
        try:
            Promotions(DeltaTables(tmp_path)).record([line(f"{number}", number, "promoted", (None, "champion"))], seen)
        except HistoryMoved:
            return "refused"
        return "recorded"

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(move, range(2, 6)))
    assert outcomes == ["recorded", "refused", "refused", "refused"]
    assert len(Promotions(DeltaTables(tmp_path)).all(MODEL)) == 2
