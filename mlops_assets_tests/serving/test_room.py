"""Who stays in memory and who makes room."""

from mlops_assets.serving.room import Room


def test_the_one_that_was_not_asked_for_the_longest_time_goes() -> None:
    room = Room(30)
    for model in "abc":
        assert room.put(model, 10) == []
        room.used(model)
    for model in "ad":
        room.used(model)
    assert room.put("d", 10) == ["b"]
    assert room.put("e", 20) == ["c", "a"]
    assert room.taken_bytes == 30


def test_what_nobody_asked_for_goes_first_and_the_first_loaded_last() -> None:
    room = Room(30)
    for model in "abc":
        room.put(model, 10)
    room.used("c")
    assert room.put("d", 10) == ["b"]
    assert room.put("e", 10) == ["d"]
    assert room.put("f", 20) == ["e", "a"]


def test_one_larger_than_all_memory_is_held_alone() -> None:
    room = Room(30)
    room.put("a", 10)
    assert not room.fits(21)
    assert room.put("b", 100) == ["a"]
    assert room.holds("b")
    assert room.put("c", 10) == ["b"]


def test_a_model_that_changes_takes_what_it_takes_now() -> None:
    room = Room(30)
    room.put("a", 10)
    room.put("b", 10)
    assert room.put("a", 25) == ["b"]
    assert room.taken_bytes == 25
    room.forget(["a", "unknown"])
    assert (room.taken_bytes, room.holds("a")) == (0, False)
