"""How this project talks to an MLflow server: patient with a slow one, quick to say that there is none.

Here: the MLflow client with our limits, and the translation of its errors. Belongs here: every setting of the mlflow
package. Does not: what is asked of the server (``mlflow_registry``, ``resources.mlflow``), starting one (``services``).
Importing mlflow costs 3 to 4 s: only functions do it.
"""

import contextlib
import functools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlops_assets.adapters.health import asked
from mlops_assets.adapters.registry import RegistryUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_SECONDS = 2.5
"""A server that does not answer its health page in this time counts as down. mlflow's own retries take 4 minutes."""
TRUST_SECONDS = 2.0
"""For this long after an answer, a server is not asked again whether it is there."""

_answered_at: dict[str, float] = {}


def connect(address: str) -> "MlflowClient":
    """A client of the MLflow server at ``address``, with our limits; the server was just seen answering.

    Raises RegistryUnavailable within ``PROBE_SECONDS`` when it does not answer. An address that is not http is not
    probed: MLflow opens databases and folders itself.
    """
    if address.startswith(("http://", "https://")):
        probe(address)
    return _client(address)


def probe(address: str) -> None:
    """Raise RegistryUnavailable unless something answers at ``address``."""
    import httpx

    if time.monotonic() - _answered_at.get(address, float("-inf")) < TRUST_SECONDS:
        return
    try:
        asked(f"{address.rstrip('/')}/health", PROBE_SECONDS)
    except httpx.HTTPError as error:
        raise RegistryUnavailable(address, error) from error
    _answered_at[address] = time.monotonic()


@contextlib.contextmanager
def answers(address: str) -> Iterator["MlflowClient"]:
    """A client for one block. When the block fails because the server went away, that is RegistryUnavailable.

    A server that is still there refused: its error passes through unchanged.
    """
    client = connect(address)
    try:
        yield client
    except Exception:
        if address.startswith(("http://", "https://")):
            _answered_at.pop(address, None)
            probe(address)
        raise


def is_missing(error: Exception) -> bool:
    """True when MLflow says that what was asked for does not exist."""
    return getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"


@functools.cache
def _client(address: str) -> "MlflowClient":
    set_limits()
    leave_feast_out()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=address, registry_uri=address)


def set_limits() -> None:
    """Set what the mlflow package only takes from its environment, unless an operator already did.

    Loading pickled models and sending usage statistics are switched off whatever the operator said.
    """
    from mlflow import environment_variables as known
    from mlflow.telemetry import set_telemetry_client

    wanted = {
        known.MLFLOW_HTTP_REQUEST_TIMEOUT: 30,
        known.MLFLOW_HTTP_REQUEST_MAX_RETRIES: 2,
        known.MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR: 0,
        known.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR: False,
    }
    for variable, value in wanted.items():
        if not variable.is_set():
            variable.set(value)
    known.MLFLOW_ALLOW_PICKLE_DESERIALIZATION.set(False)
    known.MLFLOW_DISABLE_TELEMETRY.set(True)
    set_telemetry_client()


def leave_feast_out() -> None:
    """Load mlflow's plugins for request headers without Feast's.

    Feast 0.67 declares one, so the first request of every process that talks to MLflow imported all of feast: 5 to 8 s
    here, 12 s on a busy machine. It only adds credentials for a Feast server that fronts MLflow. Plugins of others
    are loaded as ever.
    """
    from mlflow.utils import plugins

    every = plugins.get_entry_points
    plugins.get_entry_points = lambda group: [e for e in every(group) if not e.value.startswith("feast.")]
    try:
        import mlflow.tracking.request_header.registry  # noqa: F401 (loads the plugins)
    finally:
        plugins.get_entry_points = every
