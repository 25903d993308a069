"""A first load of a bundle in a process of its own, because a damaged model text can take its process with it.

Here: trying a bundle in a child. Belongs here: nothing else. Does not: the proofs (``serving.arms``).
Run as ``python -m mlops_assets.serving.trial <model> <digest> <folder>``.

LightGBM 4.7 aborted (SIGABRT) or crashed (SIGSEGV) on 25 of 40 damaged model texts instead of returning an error.
"""

import subprocess
import sys
from pathlib import Path

from mlops_assets.serving.arms import BundleRefused, load_bundle

PATIENCE_S = 60


def try_bundle(folder: Path, digest: str, model: str) -> None:
    """Load a bundle in a child process. Raises BundleRefused, with the child's reason, when it does not load there."""
    command = [sys.executable, "-m", "mlops_assets.serving.trial", model, digest, str(folder)]
    try:
        child = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise BundleRefused(f"a trial load did not end in {PATIENCE_S} s") from None
    if child.returncode != 0:
        told = child.stdout.decode(errors="replace").strip().splitlines()
        reason = told[-1] if told else "no reason given"
        crashed = f"its engine crashed on it (signal {-child.returncode}): " if child.returncode < 0 else ""
        raise BundleRefused(f"trial load: {crashed}{reason[:300]}")


def main(arguments: list[str]) -> int:
    """Load one bundle; say why not and return 1 when it cannot be loaded."""
    from mlops_assets.ml.on_demand import TRANSFORMATIONS

    model, digest, folder = arguments
    try:
        load_bundle(Path(folder), digest, model=model, transformations=TRANSFORMATIONS)
    except BundleRefused as error:
        print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
