"""A replica that loads what it is asked for: the least recently asked model goes, but never under a request."""

import asyncio

import pytest

from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.desired import DesiredModel, DesiredState
from mlops_assets.serving.models_on_demand import ModelsOnDemand


def state(*names: str) -> DesiredState:
    facts = [ServedModel(name=name, entity_id="id", timezone="UTC") for name in names]
    return DesiredState(models=tuple(DesiredModel(facts=each) for each in facts))


class Room:
    """What is served: whatever was desired last."""

    def __init__(self, most: int) -> None:
        self.served: set[str] = set()
        self.models = ModelsOnDemand(most, self.served.__contains__, self.desire)
        self.models.tell(state("a", "b", "c"))

    async def desire(self, wanted: DesiredState) -> None:
        self.served.clear()
        self.served.update(entry.facts.name for entry in wanted.models)


@pytest.fixture
def room() -> Room:
    return Room(most=2)


def chosen(room: Room) -> list[str]:
    return [entry.facts.name for entry in room.models.chosen().models]


def test_before_anybody_asked_the_first_ones_are_there(room: Room) -> None:
    assert chosen(room) == ["a", "b"]
    assert set(room.models.known) == {"a", "b", "c"}


def test_a_model_that_is_asked_for_is_loaded_and_one_without_room_goes(room: Room) -> None:
    held = asyncio.run(room.models.load("c"))
    assert (chosen(room), room.served) == (["c"], {"c"})
    asyncio.run(room.models.load("a"))
    assert room.served == {"a", "c"}
    held.__del__()
    assert chosen(room) == ["a"]


def test_a_model_stays_until_the_requests_in_flight_are_answered(room: Room) -> None:
    held = asyncio.run(room.models.load("c"))
    with room.models.used(held):
        held.__del__()
        assert chosen(room) == ["c"]
        with room.models.used(held):
            pass
        assert chosen(room) == ["c"]
    assert chosen(room) == ["a", "b"]


def test_a_model_that_was_loaded_again_is_not_taken_away_by_its_predecessor_s_end(room: Room) -> None:
    first = asyncio.run(room.models.load("c"))
    asyncio.run(room.models.load("c"))
    first.__del__()
    assert chosen(room) == ["c"]


def test_one_that_had_to_go_before_its_request_began_is_kept_for_it(room: Room) -> None:
    held = asyncio.run(room.models.load("c"))
    held.__del__()
    with room.models.used(held):
        assert chosen(room) == ["c"]
    assert chosen(room) == ["a", "b"]


def test_a_model_that_never_comes_is_told(room: Room) -> None:
    room.models = ModelsOnDemand(2, room.served.__contains__, room.desire, patience_s=0.02)
    with pytest.raises(TimeoutError, match="x was not loaded"):
        asyncio.run(room.models.load("x"))
