"""A child is kept alive, and one that hangs is not taken for alive."""

import os
import time

from mlops_assets.serving import children
from mlops_assets.serving.children import Child, Pulse


def test_a_child_that_ends_is_started_again_and_later_when_it_never_serves(monkeypatch):
    child, starts = Child("this", ["-V"]), []
    monkeypatch.setattr(children.subprocess, "Popen", lambda *_, **__: starts.append(time.monotonic()) or Ended())
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        child.keep()
        time.sleep(0.005)
    waits = [later - before for before, later in zip(starts, starts[1:], strict=False)]
    assert 3 <= len(starts) <= 5
    assert waits == sorted(waits), "at once, then after 0.1, 0.2, 0.4 s"


class Ended:
    pid, returncode = 1, 1

    def poll(self) -> int:
        return 1


def looks(pulse: Pulse, count: int, late_s: float = 0.0) -> bool:
    lost = False
    for _ in range(count):
        pulse._looked_at = time.monotonic() - late_s
        lost = pulse.lost()
    return lost


ENOUGH = int(children.SILENT_S / children.CHECK_S) + 1


def test_a_process_that_was_heard_and_is_silent_is_lost():
    pulse = Pulse()
    with pulse.renewed() as writing:
        assert not looks(pulse, ENOUGH), "it has not come to serve yet"
        os.write(writing, b".")
        assert not looks(pulse, ENOUGH - 10)
        assert looks(pulse, 20)
        os.write(writing, b".")
        assert not looks(pulse, ENOUGH - 10)


def test_silence_while_this_process_was_paused_does_not_count():
    pulse = Pulse()
    with pulse.renewed() as writing:
        os.write(writing, b".")
        assert not looks(pulse, ENOUGH * 2, late_s=1.0)


def test_the_pulse_of_the_next_process_begins_anew():
    pulse = Pulse()
    with pulse.renewed() as writing:
        os.write(writing, b".")
        assert looks(pulse, ENOUGH + 1)
    with pulse.renewed():
        assert not looks(pulse, ENOUGH)
