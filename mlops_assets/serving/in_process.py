"""The whole server in one process and without a socket: the real data plane behind the ``Endpoint`` interface.

Here: ``InProcessEndpoint``. Belongs here: putting the server's parts together for tests and trials. Does not: anything
of its own: it reconciles, loads, validates, scores and logs with the same code as the processes do.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mlops_assets.adapters.endpoint import Endpoint, EndpointRefused
from mlops_assets.adapters.online_reader import OnlineReader
from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.traffic_log import TrafficLog
from mlops_assets.contracts import ServerStatus
from mlops_assets.serving.arms import load_bundle
from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.features import Transformation
from mlops_assets.serving.follower import Follower
from mlops_assets.serving.reconciler import Reconciler
from mlops_assets.serving.refusal import Refusal


class InProcessEndpoint(Endpoint):
    """Answers from this process; follows the registry whenever it is asked."""

    def __init__(
        self,
        registry: Registry,
        models: Sequence[ServedModel],
        folder: Path,
        log: TrafficLog,
        online: OnlineReader,
        transformations: Mapping[str, Transformation],
    ) -> None:
        """``folder`` holds the desired state and the bundles, as the server's folder does."""
        self.plane = DataPlane(log, online, transformations)

        def trial(bundle: Path, digest: str, model: str) -> None:
            load_bundle(bundle, digest, model=model, transformations=transformations)

        desired, bundles = folder / "desired.json", folder / "bundles"
        self._reconciler = Reconciler(registry, models, desired, bundles, trial)
        self._follower = Follower(self.plane, desired, bundles)

    def nudge(self) -> None:
        """See Endpoint."""
        self._follower.apply(self._reconciler.look(nudged=True))

    def status(self, model: str) -> ServerStatus:
        """See Endpoint."""
        self.nudge()
        return self.plane.status(model)

    def predict(self, model: str, rows: Sequence[Mapping[str, Any]], *, explain: bool = False) -> list[dict[str, Any]]:
        """See Endpoint."""
        if not self.plane.states:
            self.nudge()
        body = msgspec.json.encode({"model": model, "rows": list(rows)})
        try:
            (outcome,) = self.plane.predict([self.plane.check(body, explain=explain)])
        except Refusal as refusal:
            outcome = refusal
        self.plane.finish()
        if isinstance(outcome, Refusal):
            raise EndpointRefused(outcome.status, outcome.field, outcome.message)
        return outcome
