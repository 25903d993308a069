"""A process whose file system calls are seen one by one, and that is killed before a chosen one of them.

Belongs here: killing at a moment that a sleep cannot hit, without changing the code that dies. Does not: what is
killed.

The kernel tells a supervisor of every call in ``WATCHED`` and holds the caller until it answers (seccomp user
notification, Linux 5.5 or newer): what the process has done when it is killed is exactly what it did before that call,
by whatever thread, in Python, SQLite or Rust.
"""

import ctypes
import errno
import fcntl
import fnmatch
import multiprocessing
import os
import platform
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUMBERS = {
    "x86_64": (0xC000003E, {
        "write": 1, "pwrite64": 18, "rename": 82, "link": 86, "unlink": 87, "openat": 257, "unlinkat": 263,
        "renameat": 264, "linkat": 265, "renameat2": 316,
    }),
    "aarch64": (0xC00000B7, {
        "unlinkat": 35, "linkat": 37, "renameat": 38, "openat": 56, "write": 64, "pwrite64": 68, "renameat2": 276,
    }),
}  # fmt: skip
ARCHITECTURE, WATCHED = NUMBERS.get(platform.machine(), (0, {}))
SECCOMP = {"x86_64": 317, "aarch64": 277}.get(platform.machine(), 0)
PATH_ARGUMENT = {"rename": 0, "link": 0, "unlink": 0, "openat": 1, "unlinkat": 1, "renameat": 1, "linkat": 1,
                 "renameat2": 1}  # fmt: skip
"""The argument that names a file; the others name an open one."""
LEAST_BYTES = 65
"""Shorter writes are those by which threads wake each other."""


@dataclass(frozen=True)
class Call:
    """One call: what, and on which file (of two, the first)."""

    name: str
    path: str


@dataclass(frozen=True)
class Moment:
    """Before the ``number``-th call of one of these names (separated by "|") on a path that matches, counted from the
    moment ``after`` on."""

    names: str
    path: str
    number: int = 1
    after: "Moment | None" = None


def run(work: Callable[..., Any], *arguments: Any, until: Moment | None = None) -> tuple[int | None, list[Call]]:
    """Run ``work`` in a process of its own, to its end or until the moment; (exit code, the calls it made).

    The process is forked from one that has imported ``work``'s module and nothing else: that takes milliseconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    ours, theirs = socket.socketpair()
    process = context.Process(target=_watched, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    assert process.pid is not None
    _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
    try:
        calls = _supervise(listener, process.pid, until)
    finally:
        os.close(listener)
        process.join(120)
        if process.exitcode is None:
            process.kill()
    return process.exitcode, calls


def _watched(theirs: socket.socket, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    listener = _install()
    socket.send_fds(theirs, [b"."], [listener])
    os.close(listener)
    work(*arguments)


def _supervise(listener: int, pid: int, until: Moment | None) -> list[Call]:
    """Let every call pass until the moment comes or the process is gone."""
    calls: list[Call] = []
    waiting, seen = _line(until), 0
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        ((_, happened),) = poll.poll() or ((0, select.POLLHUP),)
        if not happened & select.POLLIN:
            return calls
        told = _receive(listener)
        if told is None:
            continue
        call = _call(told)
        calls.append(call)
        if waiting and call.name in waiting[0].names.split("|") and fnmatch.fnmatch(call.path, waiting[0].path):
            seen += 1
            if seen == waiting[0].number:
                waiting, seen = waiting[1:], 0
                if not waiting:
                    os.kill(pid, signal.SIGKILL)
                    return calls
        _let_pass(listener, told.id)


def _line(moment: Moment | None) -> list[Moment]:
    """A moment behind all those that must come before it."""
    return [] if moment is None else [*_line(moment.after), moment]


class _Data(ctypes.Structure):
    _fields_ = (("number", ctypes.c_int), ("architecture", ctypes.c_uint32), ("at", ctypes.c_uint64),
                ("arguments", ctypes.c_uint64 * 6))  # fmt: skip


class _Told(ctypes.Structure):
    _fields_ = (("id", ctypes.c_uint64), ("pid", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("data", _Data))


class _Answer(ctypes.Structure):
    _fields_ = (("id", ctypes.c_uint64), ("value", ctypes.c_int64), ("error", ctypes.c_int32),
                ("flags", ctypes.c_uint32))  # fmt: skip


RECEIVE, SEND, LET_PASS = 0xC0502100, 0xC0182101, 1


def _receive(listener: int) -> _Told | None:
    """The next call; None when its caller is gone meanwhile."""
    told = _Told()
    try:
        fcntl.ioctl(listener, RECEIVE, told)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    return told


def _let_pass(listener: int, identity: int) -> None:
    try:
        fcntl.ioctl(listener, SEND, _Answer(id=identity, flags=LET_PASS))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _call(told: _Told) -> Call:
    names = {number: name for name, number in WATCHED.items()}
    name = names[told.data.number]
    if name in PATH_ARGUMENT:
        return Call(name, _text(told.pid, told.data.arguments[PATH_ARGUMENT[name]]))
    return Call(name, os.readlink(f"/proc/{told.pid}/fd/{told.data.arguments[0]}"))


def _text(pid: int, address: int) -> str:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(512).split(b"\0")[0].decode(errors="replace")


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("then", ctypes.c_ubyte), ("otherwise", ctypes.c_ubyte),
                ("k", ctypes.c_uint32))  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


LOAD, EQUAL, GREATER, ANY_BIT, ANSWER = 0x20, 0x15, 0x25, 0x45, 0x06
TELL, ALLOW = 0x7FC00000, 0x7FFF0000
NUMBER_AT, ARCHITECTURE_AT, THIRD_ARGUMENT_AT = 0, 4, 32


def _install() -> int:
    """Have the kernel tell of this thread's calls, and of those of the threads it starts; the listener's descriptor."""
    kernel = ctypes.CDLL(None, use_errno=True)
    program = _program()
    lines = (_Instruction * len(program))(*(_Instruction(*line) for line in program))
    kernel.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS: without it only root may filter
    listener = kernel.syscall(SECCOMP, 1, 8, ctypes.byref(_Program(len(lines), lines)))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "the kernel gives no seccomp listener (Linux 5.5 or newer is needed)")
    return int(listener)


def _program() -> list[tuple[int, int, int, int]]:
    """Tell of the watched calls: of an opening only if it may make a file, of a write only if it is no wake-up."""
    asked = [
        (EQUAL, 0, 3, WATCHED["openat"]), (LOAD, 0, 0, THIRD_ARGUMENT_AT), (ANY_BIT, 0, 1, os.O_CREAT),
        (ANSWER, 0, 0, TELL),
    ]  # fmt: skip
    program = [(LOAD, 0, 0, ARCHITECTURE_AT), (EQUAL, 1, 0, ARCHITECTURE), (ANSWER, 0, 0, ALLOW)]
    program += [(LOAD, 0, 0, NUMBER_AT), *asked, (LOAD, 0, 0, NUMBER_AT)]
    for name in ("write", "pwrite64"):
        told = [(LOAD, 0, 0, THIRD_ARGUMENT_AT), (GREATER, 0, 1, LEAST_BYTES - 1), (ANSWER, 0, 0, TELL)]
        program += [(EQUAL, 0, len(told), WATCHED[name]), *told, (LOAD, 0, 0, NUMBER_AT)]
    for name in WATCHED.keys() - {"openat", "write", "pwrite64"}:
        program += [(EQUAL, 0, 1, WATCHED[name]), (ANSWER, 0, 0, TELL)]
    return [*program, (ANSWER, 0, 0, ALLOW)]
