"""What the server's processes are told at their start.

Here: ``ServerConfig``, made from the settings by the supervisor and handed to the children as a file.
Belongs here: limits, addresses, folders. Does not: reading the environment (``adapters.settings``), what should serve
(``serving.desired``).
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from mlops_assets.adapters.settings import Settings, without_password
from mlops_assets.contracts import UseCase
from mlops_assets.serving.guard import digest_of_token, is_loopback
from mlops_assets.use_cases.segments import with_segments

FAMILY = ".*"


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a use case that the server needs, whoever holds its arms."""

    name: str
    """Or ``<use case>.*``: every registered model of such a name, with the facts of that use case."""
    entity_id: str
    timezone: str
    fallback_score: float | None = None
    """Answered when there is no champion; None: refuse with 503 instead."""
    required: bool = True
    """The server is not ready without it; of a family nobody is."""

    @property
    def family(self) -> str | None:
        """What the names of a family begin with; None for a single model."""
        return self.name[:-1] if self.name.endswith(FAMILY) else None


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One server."""

    folder: str
    """Desired state, bundles, traffic log, pid file."""
    online_store: str
    """Feast's SQLite file, or ``redis://...``."""
    registry_uri: str
    models: tuple[ServedModel, ...]
    traffic_log: str = ""
    """Address of a log that replicas share, without its password; empty: the file in the folder."""
    traffic_log_wait: bool = True
    """An answer leaves after its record is on disk; False: before."""
    registry_environment: str = ""
    verify_key: str | None = None
    """File of the public key: only versions that its owner signed are served. None: digests alone are checked."""
    feast_project: str = "mlops_assets"
    host: str = "127.0.0.1"
    port: int = 8757
    predict_token_digest: str | None = None
    """``serving.guard.digest_of_token`` of the token that callers send; tokens themselves are written nowhere."""
    admin_token_digest: str | None = None
    tls_certificate: str | None = None
    """File; with it the server speaks TLS alone."""
    tls_key: str | None = None
    body_timeout_s: float = 10.0
    max_connections: int = 2000
    """Open at once; a caller beyond gets 503."""
    workers: int = 1
    """Processes that score. One speaks HTTP itself; several stand behind a front that speaks for them."""
    answer_timeout_s: float = 30.0
    """Behind a front: a request that nobody answered for so long is refused."""
    stuck_batch_s: float = 120.0
    """A worker that is so long at one batch is replaced."""
    threads: int = 1
    """LightGBM's threads per prediction. One: the worker has one core, and a batch shares it fairly."""
    compiled_trees: bool = True
    """Trees are computed by compiled code, where it says what LightGBM says; False: by LightGBM always."""
    model_memory_bytes: int = 0
    """Of each worker, for loaded models: those that were asked for last stay in memory. 0: all are loaded, always."""
    max_body_bytes: int = 1 << 20
    max_rows: int = 2000
    """Per request."""
    max_log_bytes: int | None = None
    """The traffic log's file becomes no larger; None: the disk decides."""
    max_batch_rows: int = 4000
    """Rows taken from the queue at once: what one disk sync and one feature read are shared by."""
    max_queued_rows: int = 20_000
    """More than this and the server answers 429; so it does earlier when a queue stands (``serving.admission``)."""
    registry_poll_s: float = 1.0
    file_poll_s: float = 0.1

    @property
    def home(self) -> Path:
        """``folder`` as a path."""
        return Path(self.folder)

    @property
    def bundles(self) -> Path:
        """Folder of the verified bundles, one per digest."""
        return self.home / "bundles"

    @property
    def desired(self) -> Path:
        """File of the desired state."""
        return self.home / "desired.json"

    @property
    def nudge(self) -> Path:
        """File that the worker touches to make the reconciler look at once."""
        return self.home / "nudge"

    @property
    def traffic(self) -> Path:
        """File of the traffic log, where no other one is named."""
        return self.home / "traffic.db"

    def traffic_address(self, settings: Settings | None = None) -> str:
        """Of the traffic log. Its password stands in the settings alone, for a configuration lies in a file."""
        told = settings.traffic_log if settings else ""
        known = told if told and without_password(told) == self.traffic_log else self.traffic_log
        return known or str(self.traffic)


def configure(settings: Settings, use_cases: Sequence[UseCase]) -> ServerConfig:
    """The server of a deployment, of its segments too. Raises ValueError when the endpoint's address names no port, or
    a pattern of served models no use case.
    """
    address = urlsplit(settings.endpoint_url)
    if address.hostname is None or address.port is None:
        raise ValueError(f"MLOPS_ENDPOINT_URL must look like http://127.0.0.1:8757, not {settings.endpoint_url!r}")
    if (address.scheme == "https") != (settings.tls_certificate is not None):
        raise ValueError(
            f"MLOPS_ENDPOINT_URL is {settings.endpoint_url}: https:// needs MLOPS_TLS_CERTIFICATE and MLOPS_TLS_KEY, "
            "and they need https://"
        )
    names = {use_case.name for use_case in use_cases}
    segments = [(name, column) for name, column in settings.segments if name in names]
    known = with_segments(use_cases, segments)
    return ServerConfig(
        folder=str(settings.serving),
        online_store=settings.online_address,
        registry_uri=settings.registry_uri,
        models=(*map(served, known), *_families(settings.served_models, known)),
        traffic_log=without_password(settings.traffic_log),
        traffic_log_wait=settings.traffic_log_wait,
        registry_environment=settings.registry_environment,
        verify_key=str(settings.verify_key) if settings.verify_key else None,
        workers=settings.server_workers,
        compiled_trees=settings.compiled_trees,
        model_memory_bytes=settings.model_memory_megabytes * 2**20,
        max_log_bytes=settings.traffic_log_megabytes * 2**20,
        predict_token_digest=_digest(settings.predict_token),
        admin_token_digest=_digest(settings.admin_token),
        tls_certificate=str(settings.tls_certificate) if settings.tls_certificate else None,
        tls_key=str(settings.tls_key) if settings.tls_key else None,
        host=address.hostname,
        port=address.port,
    )


def _digest(token: str | None) -> str | None:
    return None if token is None else digest_of_token(token.encode())


def refused(config: ServerConfig) -> str | None:
    """Why a server of this configuration must not start; None when it may."""
    tokens = (config.predict_token_digest, config.admin_token_digest)
    if not is_loopback(config.host) and None in tokens:
        return (
            f"{config.host} is reached from other machines: set MLOPS_PREDICT_TOKEN and MLOPS_ADMIN_TOKEN, or have "
            "MLOPS_ENDPOINT_URL name a loopback address"
        )
    if (config.tls_certificate is None) != (config.tls_key is None):
        return "TLS needs both MLOPS_TLS_CERTIFICATE and MLOPS_TLS_KEY"
    if None not in tokens and len(set(tokens)) == 1:
        return "MLOPS_PREDICT_TOKEN and MLOPS_ADMIN_TOKEN are the same: who may predict could change the server"
    for name, file in (("MLOPS_TLS_CERTIFICATE", config.tls_certificate), ("MLOPS_TLS_KEY", config.tls_key)):
        if file is not None and not Path(file).is_file():
            return f"{name}: there is no file {file}"
    return None


def served(use_case: UseCase) -> ServedModel:
    """What the server needs to know of a use case."""
    return ServedModel(
        name=use_case.name,
        entity_id=use_case.entity_id,
        timezone=use_case.timezone,
        fallback_score=use_case.fallback_score,
    )


def _families(patterns: Sequence[str], use_cases: Sequence[UseCase]) -> list[ServedModel]:
    known = {use_case.name + FAMILY: use_case for use_case in use_cases}
    if unknown := [pattern for pattern in patterns if pattern not in known]:
        raise ValueError(f"MLOPS_SERVED_MODELS names {', '.join(unknown)}; there may be {', '.join(known)}")
    return [
        msgspec.structs.replace(served(known[pattern]), name=pattern, required=False)
        for pattern in dict.fromkeys(patterns)
    ]


def read_config(path: Path) -> ServerConfig:
    """Read a configuration back. Raises msgspec.ValidationError, naming the field."""
    return msgspec.json.decode(path.read_bytes(), type=ServerConfig)
