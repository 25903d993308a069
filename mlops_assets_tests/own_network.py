"""A network of one's own: what listens on every address in it is reached from nowhere else.

Belongs here: entering and leaving it. Does not: assertions.

Ray's own processes listen on all interfaces, whatever they are told. Root may give a thread, and all that it starts, a
network that holds nothing but a loopback; without that right the tests run in the network there is.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

CLONE_NEWNET, SIOCSIFFLAGS, UP_AND_RUNNING = 0x40000000, 0x8914, 0x41


@contextlib.contextmanager
def own_network() -> Iterator[bool]:
    """Be in a network of one's own; False when that is not allowed, and nothing was changed."""
    system = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if system.unshare(CLONE_NEWNET):
            yield False
            return
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP_AND_RUNNING))
        yield True
        assert system.setns(before, CLONE_NEWNET) == 0
    finally:
        system.setns(before, CLONE_NEWNET)
        os.close(before)
