"""A first load of a bundle in a process of its own, because a damaged model text can take its process with it.

Here: ``Trials``, which has a child load bundles, one after another. Belongs here: who is to blame when the child dies.
Does not: the proofs (``serving.arms``). The child is ``python -m mlops_assets.serving.trial``: it reads a bundle to try
from each line, answers each with a line, and ends with its input.

LightGBM 4.7 aborted (SIGABRT) or crashed (SIGSEGV) on 25 of 40 damaged model texts instead of returning an error. One
child for many bundles: starting one takes half a second, a small bundle two milliseconds.
"""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from mlops_assets.serving.arms import BundleRefused, load_bundle
from mlops_assets.serving.parent import end_with_parent

PATIENCE_S = 60
IDLE_S = 10.0
"""A child that had nothing to try for so long is let go."""


class _Wanted(msgspec.Struct):
    folder: str
    digest: str
    model: str


class _Said(msgspec.Struct):
    refused: str | None


class _Died(Exception):
    """The child is gone. Says how."""


class Trials:
    """Tries bundles in a child process. Belongs to one thread."""

    def __init__(self, patience_s: float = PATIENCE_S, idle_s: float = IDLE_S) -> None:
        """No child yet. A bundle must load within ``patience_s``."""
        self._patience_s, self._idle_s = patience_s, idle_s
        self._child: subprocess.Popen[bytes] | None = None
        self._last = 0.0

    def __call__(self, folder: Path, digest: str, model: str) -> None:
        """Load a bundle in the child. Raises BundleRefused, with the child's reason, when it does not load there."""
        wanted, fresh = _Wanted(str(folder), digest, model), self._child is None
        try:
            try:
                refused = self._try(wanted)
            except _Died:
                if fresh:
                    raise
                # A bundle before may have left the crash behind: who crashes a fresh child is to blame.
                refused = self._try(wanted)
        except _Died as died:
            raise BundleRefused(f"trial load: {died}") from None
        if refused is not None:
            raise BundleRefused(f"trial load: {refused[:300]}")

    def rest(self) -> None:
        """Let a child go that had nothing to try for a while; to be called now and again."""
        if self._child is not None and time.monotonic() - self._last > self._idle_s:
            self.close()

    def close(self) -> None:
        """End the child."""
        if (child := self._child) is not None:
            self._child = None
            child.kill()
            child.communicate()

    def _try(self, wanted: _Wanted) -> str | None:
        """Why the child refuses a bundle, or None. Raises _Died when it ends; there is no child then."""
        if self._child is None:
            command = [sys.executable, "-m", "mlops_assets.serving.trial"]
            self._child = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL)
        try:
            told = self._ask(self._child, msgspec.json.encode(wanted) + b"\n")
        except BrokenPipeError:
            told = b""
        self._last = time.monotonic()
        if told:
            return msgspec.json.decode(told, type=_Said).refused
        code = self._child.wait()
        self.close()
        raise _Died(f"its engine crashed on it (signal {-code})" if code < 0 else f"the trial ended with code {code}")

    def _ask(self, child: subprocess.Popen[bytes], line: bytes) -> bytes:
        """The child's line, whole; nothing when it ends. Raises BundleRefused when it takes too long."""
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(line)
        child.stdin.flush()
        told, deadline = b"", time.monotonic() + self._patience_s
        while not told.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                self.close()
                raise BundleRefused(f"a trial load did not end in {self._patience_s:g} s")
            if not (part := os.read(child.stdout.fileno(), 1 << 16)):
                return b""
            told += part
        return told


def try_bundle(folder: Path, digest: str, model: str) -> None:
    """Load one bundle in a child of its own. Raises BundleRefused."""
    trials = Trials()
    try:
        trials(folder, digest, model)
    finally:
        trials.close()


def main() -> int:
    """Load the bundle that each line names; answer with a line that says why not, if it cannot be loaded."""
    from mlops_assets.ml.on_demand import TRANSFORMATIONS

    end_with_parent()
    # LightGBM prints to the standard output, which is the pipe.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        wanted, refused = msgspec.json.decode(line, type=_Wanted), None
        try:
            load_bundle(Path(wanted.folder), wanted.digest, model=wanted.model, transformations=TRANSFORMATIONS)
        except BundleRefused as error:
            refused = str(error)
        answers.write(msgspec.json.encode(_Said(refused)) + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
