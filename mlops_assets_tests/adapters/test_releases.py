"""Arms move by one door: history first, aliases after, refused when anything does not fit."""

import pytest

from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.registry import RegistryCorrupt, RegistryUnavailable, VersionMissing
from mlops_assets.adapters.releases import Cause, ChampionChanged, DigestMismatch, NothingToRollBackTo, Releases
from mlops_assets.contracts import Arm, Transition
from mlops_assets.ml.bundles import bundle_digest

MODEL = "arrival_delay"


class FragileRegistry(MemoryRegistry):
    """Goes down before the n-th change of an alias, like a server that is killed."""

    changes_left: int | None = None

    def _change(self) -> None:
        if self.changes_left == 0:
            raise RegistryUnavailable("nowhere", "it was killed")
        if self.changes_left is not None:
            self.changes_left -= 1

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self._change()
        super().set_alias(name, alias, version)

    def clear_alias(self, name: str, alias: str) -> None:
        self._change()
        super().clear_alias(name, alias)


class House:
    """A registry with five versions, an empty history, and the service over both."""

    def __init__(self) -> None:
        self.registry = FragileRegistry()
        self.promotions = Promotions(MemoryTables())
        self.releases = Releases(self.registry, self.promotions)
        self.digests = {number: self._register(number) for number in range(1, 6)}

    def _register(self, number: int) -> str:
        bundle = {"model.txt": str(number).encode()}
        digest = bundle_digest(bundle)
        self.registry.register(MODEL, f"run{number}", bundle, {"card.md": b"#"}, digest, {"cutoff_day": "2013-03-31"})
        return digest

    def enter(self, version: int, arm: Arm, **options: object) -> Transition:
        options = {"cause": cause(f"enter-{version}-{arm}"), **options}
        if arm is Arm.CANARY:
            options = {"basis_points": 2000, **options}
        return self.releases.enter(MODEL, version, self.digests[version], arm, **options)  # pyright: ignore[reportArgumentType]

    @property
    def aliases(self) -> dict[str, int]:
        return dict(self.registry.model(MODEL).aliases)

    @property
    def share(self) -> str | None:
        return self.registry.model_tag(MODEL, "canary_basis_points")

    @property
    def kinds(self) -> list[tuple[int, str]]:
        return [(line.version, line.kind) for line in self.promotions.all(MODEL)]


def cause(name: str, day: str = "2013-04-01", **changes: object) -> Cause:
    return Cause(id=name, day=day, by="sensor:test", reason="because", **changes)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def house() -> House:
    return House()


def test_a_version_travels_from_shadow_to_champion(house: House) -> None:
    house.enter(1, Arm.CHAMPION)
    house.enter(2, Arm.SHADOW)
    assert house.aliases == {"champion": 1, "shadow": 2}
    house.enter(2, Arm.CANARY)
    assert (house.aliases, house.share) == ({"champion": 1, "canary": 2}, "2000")
    line = house.enter(2, Arm.CHAMPION)
    assert (house.aliases, house.share) == ({"champion": 2}, "0")
    assert (line.from_arm, line.to_arm, line.kind) == ("canary", "champion", "promoted")
    assert line.evidence["former_champion"] == 1
    assert house.kinds == [(1, "promoted"), (2, "shadow"), (2, "canary"), (2, "promoted"), (1, "retired")]


def test_a_line_carries_the_whole_cause_and_the_registry_shows_it(house: House) -> None:
    house.releases.enter(
        MODEL,
        1,
        house.digests[1],
        Arm.CHAMPION,
        cause=Cause(
            id="c", day="2013-04-01", by="operator:ann", reason="first", evidence={"auc": 0.7}, dagster_run_id="r"
        ),
        kind="override",
    )
    (line,) = house.promotions.all(MODEL)
    assert (line.by, line.reason, line.evidence["auc"], line.dagster_run_id) == ("operator:ann", "first", 0.7, "r")
    assert (line.digest, line.day, line.kind) == (house.digests[1], "2013-04-01", "override")
    tag = house.registry.version(MODEL, 1).tags["last_transition"]
    assert tag == "override on 2013-04-01 by operator:ann: first"


def test_registration_is_a_line_that_enters_no_arm(house: House) -> None:
    line = house.releases.announce(MODEL, 1, house.digests[1], cause=cause("register"))
    assert (line.kind, line.from_arm, line.to_arm, house.aliases) == ("registered", None, None, {})


def test_the_same_cause_again_moves_nothing(house: House) -> None:
    first = house.enter(1, Arm.CHAMPION)
    house.enter(2, Arm.CHAMPION)
    assert house.enter(1, Arm.CHAMPION) == first
    assert house.aliases == {"champion": 2}
    assert len(house.kinds) == 3


def test_a_version_that_holds_the_arm_gets_no_second_line(house: House) -> None:
    first = house.enter(1, Arm.CHAMPION)
    assert house.enter(1, Arm.CHAMPION, cause=cause("another")) == first
    assert house.kinds == [(1, "promoted")]


def test_a_canary_may_change_its_share(house: House) -> None:
    house.enter(1, Arm.CHAMPION)
    house.enter(2, Arm.CANARY, basis_points=500)
    house.enter(2, Arm.CANARY, basis_points=500, cause=cause("same share"))
    house.enter(2, Arm.CANARY, basis_points=5000, cause=cause("more"))
    assert (house.aliases, house.share) == ({"champion": 1, "canary": 2}, "5000")
    assert house.kinds == [(1, "promoted"), (2, "canary"), (2, "canary")]


@pytest.mark.parametrize("share", [0, -1, 10_001])
def test_a_canary_without_a_share_is_refused(house: House, share: int) -> None:
    with pytest.raises(ValueError, match="basis points"):
        house.enter(1, Arm.CANARY, basis_points=share)
    assert house.kinds == []


def test_a_newcomer_retires_whoever_held_the_arm(house: House) -> None:
    house.enter(2, Arm.SHADOW)
    house.enter(3, Arm.SHADOW)
    assert house.aliases == {"shadow": 3}
    assert house.kinds == [(2, "shadow"), (3, "shadow"), (2, "retired")]
    assert house.promotions.all(MODEL)[2].evidence["replaced_by_version"] == 3


def test_a_refused_canary_leaves_and_its_share_goes_to_zero(house: House) -> None:
    house.enter(1, Arm.CHAMPION)
    house.enter(2, Arm.CANARY)
    line = house.releases.leave(MODEL, 2, house.digests[2], cause=cause("refuse"))
    assert (line.kind, line.from_arm, line.to_arm) == ("refused", "canary", None)
    assert (house.aliases, house.share) == ({"champion": 1}, "0")


def test_a_version_in_no_arm_can_be_refused_in_writing(house: House) -> None:
    line = house.releases.leave(MODEL, 2, house.digests[2], cause=cause("gates"))
    assert (line.kind, line.from_arm) == ("refused", None)


def test_another_digest_than_the_registrys_is_refused(house: House) -> None:
    for move in (
        lambda: house.releases.enter(MODEL, 1, house.digests[2], Arm.CHAMPION, cause=cause("a")),
        lambda: house.releases.leave(MODEL, 1, house.digests[2], cause=cause("b")),
        lambda: house.releases.announce(MODEL, 1, "", cause=cause("c")),
    ):
        with pytest.raises(DigestMismatch, match="refused to move"):
            move()
    assert (house.kinds, house.aliases) == ([], {})


@pytest.mark.parametrize("path", ["bundle/model.txt", "documents/card.md"])
def test_one_flipped_byte_keeps_a_version_out_of_the_traffic(house: House, path: str) -> None:
    house.registry.files[MODEL, 1][path] = b"spoilt"
    with pytest.raises(RegistryCorrupt):
        house.enter(1, Arm.CHAMPION)
    assert (house.kinds, house.aliases) == ([], {})


def test_a_version_the_registry_does_not_know_cannot_enter(house: House) -> None:
    with pytest.raises(VersionMissing):
        house.releases.enter(MODEL, 99, "0" * 64, Arm.CHAMPION, cause=cause("a"))


def test_a_rollback_restores_the_former_champion_and_says_why(house: House) -> None:
    house.enter(1, Arm.CHAMPION)
    house.enter(2, Arm.CHAMPION)
    bad = cause("decision/2013-05-01", evidence={"brier_gap": 0.02})
    line = house.releases.roll_back(MODEL, cause=bad, from_version=2)
    assert house.aliases == {"champion": 1}
    assert (line.version, line.kind, line.digest) == (1, "restored", house.digests[1])
    assert line.evidence == {"brier_gap": 0.02, "rolled_back_version": 2, "restored_version": 1}
    assert house.kinds[-2:] == [(1, "restored"), (2, "rolled_back")]


def test_the_same_rollback_again_does_not_go_further_back(house: House) -> None:
    for version in (1, 2, 3):
        house.enter(version, Arm.CHAMPION)
    first = house.releases.roll_back(MODEL, cause=cause("bad"))
    assert house.releases.roll_back(MODEL, cause=cause("bad")) == first
    assert house.aliases == {"champion": 2}
    house.releases.roll_back(MODEL, cause=cause("worse"))
    assert house.aliases == {"champion": 1}
    with pytest.raises(NothingToRollBackTo):
        house.releases.roll_back(MODEL, cause=cause("worst"))


def test_a_rollback_can_name_its_target(house: House) -> None:
    for version in (1, 2, 3):
        house.enter(version, Arm.CHAMPION)
    house.releases.roll_back(MODEL, cause=cause("bad"), to_version=1)
    assert house.aliases == {"champion": 1}
    with pytest.raises(NothingToRollBackTo):
        house.releases.roll_back(MODEL, cause=cause("bad again"), to_version=1)


def test_a_rollback_to_the_shadow_takes_it_out_of_the_shadow(house: House) -> None:
    house.enter(1, Arm.CHAMPION)
    house.enter(2, Arm.CHAMPION)
    house.enter(1, Arm.SHADOW, cause=cause("compare"))
    house.releases.roll_back(MODEL, cause=cause("bad"))
    assert house.aliases == {"champion": 1}


def test_evidence_about_a_former_champion_rolls_nobody_back(house: House) -> None:
    for version in (1, 2, 3):
        house.enter(version, Arm.CHAMPION)
    with pytest.raises(ChampionChanged, match="2.*3"):
        house.releases.roll_back(MODEL, cause=cause("late"), from_version=2)
    assert house.aliases == {"champion": 3}


def test_without_a_champion_there_is_nothing_to_roll_back(house: House) -> None:
    with pytest.raises(NothingToRollBackTo):
        house.releases.roll_back(MODEL, cause=cause("bad"))
    house.enter(1, Arm.CHAMPION)
    with pytest.raises(NothingToRollBackTo):
        house.releases.roll_back(MODEL, cause=cause("bad"))
    assert house.aliases == {"champion": 1}


def test_a_rollback_to_a_spoilt_version_moves_nothing(house: House) -> None:
    house.enter(1, Arm.CHAMPION)
    house.enter(2, Arm.CHAMPION)
    house.registry.files[MODEL, 1]["bundle/model.txt"] = b"spoilt"
    with pytest.raises(RegistryCorrupt):
        house.releases.roll_back(MODEL, cause=cause("bad"))
    assert house.aliases == {"champion": 2}
    assert house.kinds[-2:] == [(2, "promoted"), (1, "retired")]


@pytest.mark.parametrize("changes", [0, 1])
def test_a_crash_between_history_and_aliases_is_repaired(house: House, changes: int) -> None:
    house.enter(1, Arm.CHAMPION)
    house.enter(2, Arm.CANARY)
    house.registry.changes_left = changes
    with pytest.raises(RegistryUnavailable):
        house.enter(2, Arm.CHAMPION)
    house.registry.changes_left = None
    assert house.kinds[-2:] == [(2, "promoted"), (1, "retired")]
    assert house.releases.repair(MODEL)
    assert (house.aliases, house.share) == ({"champion": 2}, "0")
    assert house.releases.repair(MODEL) == []


def test_the_cause_that_crashed_can_simply_be_repeated(house: House) -> None:
    house.enter(1, Arm.CHAMPION)
    house.enter(2, Arm.CHAMPION)
    house.registry.changes_left = 0
    with pytest.raises(RegistryUnavailable):
        house.releases.roll_back(MODEL, cause=cause("bad"))
    house.registry.changes_left = None
    house.releases.roll_back(MODEL, cause=cause("bad"))
    assert house.aliases == {"champion": 1}
    assert len(house.kinds) == 5


def test_an_alias_that_somebody_moved_by_hand_is_put_back(house: House) -> None:
    house.enter(1, Arm.CHAMPION)
    house.registry.set_alias(MODEL, "champion", 4)
    house.registry.set_alias(MODEL, "canary", 5)
    assert house.releases.repair(MODEL) == [
        "champion is version 1, was 4",
        "cleared canary, which version 5 held",
    ]
    assert house.aliases == {"champion": 1}


def test_a_lost_history_does_not_take_the_champion_out_of_the_traffic(house: House) -> None:
    house.registry.set_alias(MODEL, "champion", 1)
    assert house.releases.repair(MODEL) == []
    assert house.aliases == {"champion": 1}
