"""The model server as an application of Ray Serve: the same data plane, in replicas that come and go.

Here: the two deployments and ``build``, which puts them together. Belongs here: what Ray calls. Does not: starting Ray
(``serving.ray_cluster``), the knobs (``serving.ray_scale``), the decision how many (``serving.ray_policy``), answering:
a replica has the worker's own endpoints, batcher, follower and log, so every protocol works.

The reconciler is a deployment of one replica: Ray starts it anew elsewhere when its node dies. Replicas ask it what
should serve and fetch bundles from it, each machine once, so that machines need no folder in common. While it is away
they answer with what they have.
"""

import asyncio
import contextlib
import logging
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from ray import serve  # pyright: ignore[reportMissingImports] - in an environment of its own

from mlops_assets.adapters.online_reader import open_online_reader
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.signatures import Signatures
from mlops_assets.adapters.traffic_log import TrafficLogError, open_traffic_log
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.ml.on_demand import TRANSFORMATIONS
from mlops_assets.serving.app import App
from mlops_assets.serving.arms import read_bundle
from mlops_assets.serving.asgi import Asgi
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.configuration import ServerConfig, configure
from mlops_assets.serving.connection import Limits
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.desired import DesiredState, replace_file, write_desired
from mlops_assets.serving.endpoints import Endpoints
from mlops_assets.serving.follower import Follower, follow_in_background
from mlops_assets.serving.guard import Guard
from mlops_assets.serving.models_on_demand import Held, ModelsOnDemand
from mlops_assets.serving.ray_policy import quantile
from mlops_assets.serving.ray_scale import Scale, refused_on_ray, scale_of
from mlops_assets.serving.reconciler import Reconciler, watch
from mlops_assets.use_cases import USE_CASES

LOG = logging.getLogger(__name__)
POLL_S = 0.25
PATIENCE_S = 30.0
"""A new replica takes no request before it has something to answer with, or this long has passed."""
LATENCY = "mlops_request_seconds"
MODEL_HEADER = b"serve_multiplexed_model_id"


class Prepared:
    """The one that speaks to the registry: what should serve, and the bundles of it."""

    def __init__(self, config: bytes) -> None:
        """Follow the registry from now on."""
        from mlops_assets.adapters.mlflow_registry import MlflowRegistry

        self._config = msgspec.json.decode(config, type=ServerConfig)
        key = self._config.verify_key
        signatures = Signatures(public_key=Path(key) if key else None)
        registry = MlflowRegistry(self._config.registry_uri, signatures, self._config.registry_environment)
        reconciler = Reconciler(registry, self._config.models, self._config.desired, self._config.bundles)
        threading.Thread(target=watch, args=(reconciler, self._config), daemon=True).start()

    def look(self) -> tuple[bytes, float] | None:
        """The desired state and how many seconds ago it was looked at; None before anything is known."""
        with contextlib.suppress(FileNotFoundError):
            age_s = time.time() - self._config.desired.stat().st_mtime
            return self._config.desired.read_bytes(), age_s
        return None

    def bundle(self, digest: str) -> dict[str, bytes]:
        """The files of a bundle that is desired."""
        return dict(read_bundle(self._config.bundles / digest))

    def nudge(self) -> None:
        """Look at the registry at once."""
        self._config.nudge.touch()


class _Face:
    """An object that is called: what runs ASGI applications takes a bound method for one of the old kind."""

    def __init__(self, answer: Callable[..., Awaitable[None]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await self._answer(scope, receive, send)


@serve.ingress()
class Replica:
    """One worker."""

    async def __init__(self, config: bytes, models: int, prepared: Any, release: str) -> None:
        """``prepared`` is the handle of Prepared; ``models`` that are loaded at most, 0: all.

        Ray replaces replicas whose arguments are others than those that run: that is all that ``release`` does.
        """
        LOG.info("a replica of release %r starts", release)
        self._config = known = msgspec.json.decode(config, type=ServerConfig)
        self._prepared, self._before = prepared, [0]
        self._folder = tempfile.TemporaryDirectory(prefix="mlops-replica-")
        self._desired = Path(self._folder.name) / "desired.json"
        address = known.traffic_address(Settings.from_environment())
        self._log = open_traffic_log(address, known.max_log_bytes, wait=known.traffic_log_wait)
        online = open_online_reader(known.online_store, known.feast_project)
        self._plane = DataPlane(self._log, online, TRANSFORMATIONS, known.max_rows)
        try:
            await asyncio.to_thread(self._log.open)
        except TrafficLogError as error:
            self._plane.note("traffic log", str(error))
        self._batcher = Batcher(self._plane.predict, known.max_batch_rows, known.max_queued_rows, work=self._plane.work)
        how = {"threads": known.threads, "compiled": known.compiled_trees}
        follower = Follower(self._plane, self._desired, known.bundles, **how)
        self._wake, self._end = follow_in_background(follower, known.file_poll_s)
        self._endpoints = Endpoints(self._plane, self._batcher, self._nudge, {"mlops_assets": "on Ray Serve"})
        guard = Guard(known.predict_token_digest, known.admin_token_digest)
        limits = Limits(known.max_body_bytes, body_timeout_s=known.body_timeout_s)
        self._app = Asgi(App(self._endpoints, self._plane.metrics, guard), limits)
        self._models = ModelsOnDemand(models, self._serves, self._desire) if models else None
        self._load = _multiplexed(self._models, models) if self._models else None
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._follow())
        await self._something_to_answer_with()

    def __serve_build_asgi_app__(self) -> Callable[..., Awaitable[None]]:
        """What Ray calls for each request."""
        return _Face(self._answer)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What the policy is told: the latency of the requests since it was told last."""
        bounds, counts = self._plane.metrics.buckets(LATENCY)
        before = [*self._before, *[0] * (len(counts) - len(self._before))]
        self._before = counts
        p95 = quantile(bounds, [now - then for now, then in zip(counts, before, strict=True)], 0.95)
        return {"p95_ms": 0.0 if p95 is None else p95 * 1000}

    async def __del__(self) -> None:
        """End what was begun; Ray has waited for the requests in flight."""
        self._task.cancel()
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._end()
        self._batcher.stop()
        self._log.close()
        self._folder.cleanup()

    async def _answer(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if self._models is None or self._load is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = next((value.decode("latin-1") for name, value in scope["headers"] if name == MODEL_HEADER), "")
        name = told or self._endpoints.at(scope["path"])[1]
        if name not in self._models.known:
            await self._app(scope, receive, send)
            return
        try:
            held = await self._load(name)
        except TimeoutError:
            await self._app(scope, receive, send)
            return
        with self._models.used(held):
            await self._app(scope, receive, send)

    def _nudge(self) -> None:
        self._loop.call_soon_threadsafe(self._prepared.nudge.remote)

    def _serves(self, model: str) -> bool:
        return model in self._plane.states

    async def _follow(self) -> None:
        """Hold this replica's desired state to the one that is prepared; while nobody tells it, to the last one."""
        while True:
            try:
                told = await asyncio.wait_for(self._prepared.look.remote(), PATIENCE_S)
                if told is not None:
                    await self._take(*told)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._plane.note("reconciler", f"cannot be asked: {' '.join(str(error).split())[:200]}")
            await asyncio.sleep(POLL_S)

    async def _take(self, state: bytes, age_s: float) -> None:
        desired = msgspec.json.decode(state, type=DesiredState)
        if self._models is None:
            await self._fetch(desired)
            await self._desire(desired)
        else:
            self._models.tell(desired)
            await self._fetch(self._models.chosen())
            await self._desire(self._models.chosen())
        looked_at = time.time() - age_s
        await asyncio.to_thread(_touch, self._desired, looked_at)

    async def _fetch(self, desired: DesiredState) -> None:
        """Have every bundle on this machine, whole and under its digest, before it is desired."""
        for digest in {arm.digest for entry in desired.models for arm in entry.arms.values()}:
            if not (self._config.bundles / digest).exists():
                files = await self._prepared.bundle.remote(digest)
                await asyncio.to_thread(_put, self._config.bundles, digest, files)

    async def _desire(self, desired: DesiredState) -> None:
        await self._fetch(desired)
        content = msgspec.json.encode(desired, order="sorted")
        await asyncio.to_thread(_write_if_changed, self._desired, desired, content)
        self._wake()

    async def _something_to_answer_with(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self._plane.states and time.monotonic() < deadline:
            await asyncio.sleep(0.02)


def _multiplexed(models: ModelsOnDemand, most: int) -> Callable[[str], Awaitable[Held]]:
    """Loading through Ray, which keeps the ``most`` asked for last and sends requests to where their model is."""

    @serve.multiplexed(max_num_models_per_replica=most)
    async def load(name: str) -> Held:
        return await models.load(name)

    return load


def _touch(file: Path, at: float) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.utime(file, (at, at))


def _write_if_changed(file: Path, desired: DesiredState, content: bytes) -> None:
    if not file.exists() or msgspec.json.encode(msgspec.json.decode(file.read_bytes()), order="sorted") != content:
        write_desired(file, desired)


def _put(bundles: Path, digest: str, files: Mapping[str, bytes]) -> None:
    if bundle_digest(files) != digest:
        raise ValueError(f"what came for {digest} is something else")
    arriving = bundles / f".arriving-{uuid.uuid4().hex}"
    for name, content in files.items():
        replace_file(arriving / name, content)
    # Another replica of this machine may have been faster: its bytes are the same.
    with contextlib.suppress(OSError):
        arriving.rename(bundles / digest)


def application(config: ServerConfig, scale: Scale) -> Any:
    """The application of a configuration."""
    told = msgspec.json.encode(config)
    policy: dict[str, Any] = {}
    if scale.policy == "latency":
        aims = {"p95_ms": scale.target_p95_ms, "ongoing": scale.target_ongoing_requests}
        policy = {"policy": {"policy_function": "mlops_assets.serving.ray_policy:LatencyPolicy", "policy_kwargs": aims}}
    grows = {
        "min_replicas": scale.least_replicas,
        "max_replicas": scale.most_replicas,
        "target_ongoing_requests": scale.target_ongoing_requests,
        "look_back_period_s": scale.look_back_s,
        "upscale_delay_s": scale.upscale_delay_s,
        "downscale_delay_s": scale.downscale_delay_s,
        **policy,
    }
    replica = serve.deployment(Replica, name="model-server").options(
        autoscaling_config=grows,
        max_ongoing_requests=scale.max_ongoing_requests,
        ray_actor_options={"num_cpus": 1},
        max_replicas_per_node=scale.replicas_per_node or None,
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=20,
    )
    prepared = serve.deployment(Prepared, name="reconciler").options(
        num_replicas=1, ray_actor_options={"num_cpus": 0}, max_ongoing_requests=1000
    )
    return replica.bind(told, scale.models_per_replica, prepared.bind(told), scale.release)


def build(args: dict[str, Any]) -> Any:
    """The application as Serve's configuration files name it; ``args`` are the fields of Scale. Raises ValueError."""
    scale, config = scale_of(args), configure(Settings.from_environment(), USE_CASES)
    if (why := refused_on_ray(config, scale, alone=False)) is not None:
        raise ValueError(why)
    return application(config, scale)
