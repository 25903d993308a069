"""Registered versions loaded for scoring, outside the server.

Here: a version's model and drift reference, read from the registry once per process. Belongs here: reading a version
for offline use. Does not: the server's way of loading (``serving.arms``).
"""

import functools
import tempfile
from pathlib import Path

from mlops_assets.adapters.registry import Registry, read_files
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.references import FACTS_FILE, SAMPLE_FILE, DriftReference, from_files


@functools.lru_cache(maxsize=8)
def scorer_of(registry: Registry, model: str, version: int) -> Scorer:
    """The loaded bundle of a version. A version never changes, so a process reads it once."""
    with tempfile.TemporaryDirectory() as folder:
        return Scorer(read_files(registry.download(model, version, Path(folder) / "bundle")))


@functools.lru_cache(maxsize=8)
def reference_of(registry: Registry, model: str, version: int) -> DriftReference:
    """The drift reference that was saved with a version, likewise."""
    return from_files({name: registry.document(model, version, name) for name in (SAMPLE_FILE, FACTS_FILE)})
