"""A process is known by more than its number."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_assets.adapters.processes import (
    Record,
    end,
    find,
    listener,
    outermost,
    program_of,
    read_record,
    record_of,
    spawn,
    write_record,
)

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def test_a_process_is_found_by_its_record_and_ended_once(tmp_path: Path) -> None:
    record = spawn(SLEEP, tmp_path / "log", tmp_path)
    write_record(tmp_path / "record.json", record)
    known = read_record(tmp_path / "record.json")
    assert known == record
    assert find(record)
    assert end(record, ["time.sleep"])
    assert find(record) is None
    assert not end(record, ["time.sleep"])


def test_a_pid_that_went_to_another_process_is_not_ours() -> None:
    stranger = Record(os.getpid(), record_of(os.getpid()).started_at - 100)
    assert find(stranger) is None
    assert not end(stranger, [])


def test_a_process_without_our_marks_is_left_alone(tmp_path: Path) -> None:
    record = spawn(SLEEP, tmp_path / "log", tmp_path)
    with pytest.raises(PermissionError, match="not ours"):
        end(record, ["mlflow"])
    assert find(record)
    end(record, [])


def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    program = f"import subprocess, sys; subprocess.Popen({list(SLEEP)!r}, start_new_session=True).wait()"
    record = spawn((sys.executable, "-c", program), tmp_path / "log", tmp_path)
    process = find(record)
    assert process
    while not (children := process.children()):
        time.sleep(0.01)
    families = [record_of(child.pid) for child in children]
    end(record, [])
    assert not any(find(child) for child in families)


def test_a_process_that_ended_is_gone_even_when_nobody_waited_for_it(tmp_path: Path) -> None:
    record = spawn((sys.executable, "-c", "print('bye')"), tmp_path / "log", tmp_path)
    deadline = time.monotonic() + 5
    while find(record) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert find(record) is None
    assert (tmp_path / "log").read_text() == "bye\n"


def test_half_a_record_is_none(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"pid": 1')
    assert read_record(tmp_path / "record.json") is None
    assert read_record(tmp_path / "nothing.json") is None


def test_no_process_has_no_record() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(ProcessLookupError):
        record_of(gone.pid)


def test_the_listener_of_a_port_is_told() -> None:
    import socket

    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        ours.listen()
        found = listener(ours.getsockname()[1])
        assert found is None or found.pid == os.getpid()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert listener(free.getsockname()[1]) is None


def test_without_an_owner_above_a_process_owns_itself() -> None:
    assert outermost(["no-such-program"]) == os.getpid()


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (["/env/bin/python", "/env/bin/dagster", "dev"], "dagster"),
        (["python3.11", "-m", "dagster", "dev"], "dagster"),
        (["/usr/bin/code", "/home/ann/dagster"], "code"),
        (["dagster"], "dagster"),
        ([], ""),
    ],
)
def test_a_program_is_seen_through_its_interpreter(command: list[str], program: str) -> None:
    assert program_of(command) == program
