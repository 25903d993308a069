"""A child process that is kept alive.

Here: ``Child``, and ``Pulse``, by which it is known to live. Belongs here: starting, watching and ending one process.
Does not: which children there are (``serving.supervisor``), what they do.
"""

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

LOG = logging.getLogger(__name__)
CHECK_S = 0.05
"""``Child.keep`` is to be called this often."""
LONGEST_WAIT_S = 5.0
"""Before a child that keeps dying is started again; starts at nothing and doubles from 0.1 s."""
LONGEST_WAIT_OF_SERVED_S = 0.1
"""The same of one that had come to serve: what ended it came from outside, or from one of its requests."""
SERVED_S = 1.0
"""A child that says nothing of itself has come to serve by then."""
STEADY_S = 10.0
"""A child that lived this long is forgiven its earlier deaths."""
SILENT_S = 3.0
"""A child that said it lived, and says nothing any more for so long, hangs."""
GRACE_S = 10.0


class Child:
    """A process that is started again when it dies, sooner at first and later when it keeps dying."""

    def __init__(
        self, module: str, arguments: Sequence[str], descriptors: Sequence[int] = (), *, tells: bool = False
    ) -> None:
        """Name the child; ``keep`` starts it. ``tells``: it says on a pipe, its last argument, that it lives."""
        self._command = [sys.executable, "-m", module, *arguments]
        self._name = module.rpartition(".")[2]
        self._descriptors = descriptors
        self._heard = Pulse() if tells else None
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._wait_s = 0.0
        self._due = 0.0

    def keep(self) -> None:
        """Start the process when there is none and its time has come; kill it when it says nothing any more."""
        if self._process is not None and self._process.poll() is not None:
            self._bury(self._process.returncode)
        if self._process is None and time.monotonic() >= self._due:
            self._start()
        elif self._process is not None and self._heard is not None and self._heard.lost():
            LOG.error("%s (pid %d) hangs: it is killed", self._name, self._process.pid)
            self._process.kill()

    def _start(self) -> None:
        with contextlib.ExitStack() as stack:
            more = [] if self._heard is None else [stack.enter_context(self._heard.renewed())]
            command = [*self._command, *map(str, more)]
            self._process = subprocess.Popen(command, pass_fds=(*self._descriptors, *more), start_new_session=True)
        self._started_at = time.monotonic()
        LOG.info("%s started, pid %d", self._name, self._process.pid)

    def _bury(self, code: int) -> None:
        lived_s = time.monotonic() - self._started_at
        self._process = None
        self._due = time.monotonic() + (0.0 if lived_s >= STEADY_S else self._wait_s)
        served = lived_s >= SERVED_S or (self._heard is not None and self._heard.heard)
        longest_s = LONGEST_WAIT_OF_SERVED_S if served else LONGEST_WAIT_S
        self._wait_s = 0.1 if lived_s >= STEADY_S else min(max(0.1, 2 * self._wait_s), longest_s)
        LOG.warning("%s ended with code %d after %.1f s: starting it again", self._name, code, lived_s)

    def end(self) -> None:
        """Ask the process to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended; kill it when it does not."""
        if self._process is None:
            return
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Pulse:
    """A pipe on which a process says that it lives.

    Silence is counted in looks, and a look that comes late does not count: then it was this process that was paused.
    """

    def __init__(self) -> None:
        """No process yet."""
        self._reading: int | None = None
        self._silent = 0
        self._looked_at = 0.0
        self.heard = False

    @contextlib.contextmanager
    def renewed(self) -> Iterator[int]:
        """The writing end of a new pipe, for the process that is started in this block."""
        if self._reading is not None:
            os.close(self._reading)
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._silent, self.heard = 0, False
        try:
            yield writing
        finally:
            os.close(writing)

    def lost(self) -> bool:
        """True when the process lived and is silent for too long. Looks now."""
        assert self._reading is not None
        before, self._looked_at = self._looked_at, time.monotonic()
        with contextlib.suppress(BlockingIOError):
            if os.read(self._reading, 4096):
                self.heard, self._silent = True, 0
                return False
        if self.heard and self._looked_at - before < 2 * CHECK_S:
            self._silent += 1
        return self._silent * CHECK_S >= SILENT_S
