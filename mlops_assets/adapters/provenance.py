"""Which code this is: commit, lock file, versions of the packages that shape a model.

Here: reading them once per process. Belongs here: facts about the running code. Does not: facts about data
(``contracts.TableVersion``), putting them into a manifest (``assets.models``).
"""

import functools
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.adapters.settings import ROOT
from mlops_assets.ml.bundles import digest_of

UNKNOWN = "unknown"
LOCK_FILE = "requirements.lock"
PACKAGES = (
    "mlops-assets", "dagster", "feast", "lightgbm", "mlflow", "numpy", "pandas", "alibi-detect", "deltalake", "duckdb",
    "pyarrow",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The code of this process."""

    code_commit: str
    """Commit of the checkout this code runs from; ``unknown`` outside a git checkout."""
    code_dirty: bool
    """True when tracked files differ from the commit, and when there is no commit to compare with."""
    lock_digest: str
    """SHA-256 of requirements.lock; ``unknown`` without one."""
    versions: Mapping[str, str]
    """Of Python, of the packages that shape a model, and the kind of machine."""


@functools.cache
def read_provenance(root: Path = ROOT) -> Provenance:
    """Read the provenance of the code under ``root``. Cached: a process runs the code that it started with."""
    commit = git_commit(root)
    lock = root / LOCK_FILE
    return Provenance(
        code_commit=commit or UNKNOWN,
        code_dirty=commit is None or _git(root, "status", "--porcelain", "--untracked-files=no") != "",
        lock_digest=digest_of(lock.read_bytes()) if lock.exists() else UNKNOWN,
        versions={
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{name: _version(name) for name in PACKAGES},
        },
    )


def git_commit(root: Path) -> str | None:
    """The commit checked out at ``root``, or None. A repository further up is not ours and does not count."""
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return None
    return _git(root, "rev-parse", "--verify", "--quiet", "HEAD") or None


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN
