"""The year's training set, made by the graph itself in a folder of the benchmark.

Here: the shipped definitions on the shipped tables and the shipped feature store, and the frozen rows that come out.
Does not belong here: measuring, any other way to rows.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.content_store import MemoryContentStore
from mlops_assets.adapters.deployment import Deployment
from mlops_assets.adapters.endpoint import MemoryEndpoint
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.replay import Replay
from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import DATASETS, FEATURES, MODELS, TRAINING, key
from mlops_assets.assets.files import training_set_of
from mlops_assets.automation.feed import RANGE_END, RANGE_START
from mlops_assets.contracts import UseCase
from mlops_assets.definitions import build_defs
from mlops_assets.ml.bundles import Inputs
from mlops_assets.ml.training import thaw
from mlops_assets.resources.mlflow import MemoryExperimentTracking
from mlops_assets.use_cases import ARRIVAL_DELAY

FIRST, LAST = "2013-01-01", "2013-12-31"
# No day is live: the year lands as history, and no server is asked.
USE_CASE: UseCase = replace(ARRIVAL_DELAY, domain=replace(ARRIVAL_DELAY.domain, live_from="2014-01-01"))


class Graph:
    """The definitions in a folder, and runs of them in this process on an instance in memory."""

    def __init__(self, root: Path) -> None:
        """Nothing has run."""
        settings = Settings(state=root, start_services=False, live_from=USE_CASE.domain.live_from)
        parts = Deployment(settings)
        self.artifacts, self.feature_store, self.studies = parts.artifacts, parts.feature_store, parts.studies
        self.tables = parts.tables
        registry = MemoryRegistry()
        named = ("source", "tables", "feature_store", "artifacts", "studies")
        resources = {
            **{role: getattr(parts, role) for role in named},
            "content_store": MemoryContentStore(),
            "registry": registry,
            "endpoint": MemoryEndpoint(registry),
            "experiment_tracking": MemoryExperimentTracking(),
            "replay": Replay(parts.source, parts.tables, parts.feature_store, MemoryEndpoint(registry), (USE_CASE,)),
        }
        self.definitions = build_defs((USE_CASE,), resources, settings)
        self._job: Any = self.definitions.resolve_implicit_global_asset_job_def()
        self._instance = dg.DagsterInstance.ephemeral()

    def run(self, assets: Sequence[dg.AssetKey], day: str, first: str | None = None) -> None:
        """Materialize the assets for a day, or for the days from ``first`` to it."""
        span = {"partition_key": day} if first is None else {"tags": {RANGE_START: first, RANGE_END: day}}
        self._job.execute_in_process(instance=self._instance, asset_selection=list(assets), **span)

    def land_the_year(self) -> None:
        """Datasets and features of the year, as one range run."""
        domain = USE_CASE.domain
        registers = [key(domain, DATASETS, name) for name in ("aircraft", "airports")]
        wanted = [
            asset
            for asset in self.definitions.resolve_asset_graph().materializable_asset_keys
            if asset.path[0] == domain.name and asset.path[1] in (DATASETS, FEATURES) and asset not in registers
        ]
        self.run(registers, LAST)
        self.run([asset for asset in wanted if asset.path[2] != "online_store"], LAST, FIRST)

    def freeze(self, cutoff: str) -> None:
        """The training set of a cut-off day."""
        self.run([key(USE_CASE, TRAINING, "training_set")], cutoff)

    def train(self, cutoff: str) -> None:
        """The model of a cut-off day, and the study before it, which is off."""
        self.run([key(USE_CASE, MODELS, name) for name in ("parameter_study", "model")], cutoff)

    def rows(self, cutoff: str) -> pd.DataFrame:
        """The frozen rows of a cut-off day."""
        return thaw(training_set_of(self.artifacts, USE_CASE, cutoff)[1])

    @property
    def inputs(self) -> Inputs:
        """What the model is fed with."""
        return self.feature_store.inputs(USE_CASE.feature_service)


@contextmanager
def landed_year(state: Path | None) -> Iterator[Graph]:
    """The graph with the year landed and frozen: in ``state``, where an earlier run may have done it, or for once."""
    with tempfile.TemporaryDirectory(prefix="bench-year-") as folder:
        graph = Graph(state or Path(folder))
        if not (state and (state / "artifacts").exists()):
            graph.land_the_year()
            graph.freeze(LAST)
        yield graph


def asked_state(description: str | None) -> Path | None:
    """The folder of ``--state``: one that an earlier run landed the year in."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--state", type=Path, help="keeps the landed year, and finds one there")
    return parser.parse_args().state
