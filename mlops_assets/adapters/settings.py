"""Where everything is: addresses, folders and secrets, read from the environment once.

Here: ``Settings`` and its defaults for one machine. Belongs here: every environment variable of the project.
Does not: facts of a use case (``use_cases``), knobs of one run (``dg.Config``).
"""

import datetime as dt
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from mlops_assets.adapters.signatures import Signatures
from mlops_assets.contracts import UseCase
from mlops_assets.use_cases import USE_CASES
from mlops_assets.use_cases.sample import sampled
from mlops_assets.use_cases.segments import possible, with_segments

ROOT = Path(__file__).resolve().parents[2]


class SettingsError(ValueError):
    """A variable of the environment cannot be read; says which, and what it must be."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One deployment. The defaults are the embedded parts: everything under one folder, everything on loopback."""

    state: Path = ROOT / "state"
    """MLOPS_STATE: the folder that holds all state."""
    registry_uri: str = "http://127.0.0.1:5757"
    """MLOPS_REGISTRY_URI: the MLflow server."""
    endpoint_url: str = "http://127.0.0.1:8757"
    """MLOPS_ENDPOINT_URL: the model server."""
    ui_url: str = "http://127.0.0.1:3000"
    """MLOPS_UI_URL: Dagster's web server, for links; host and port are where ``mlops up`` has it listen."""
    online_store: str = ""
    """MLOPS_ONLINE_STORE: ``redis://host:port/database`` for the features that are served; empty: SQLite."""
    sensor_seconds: int = 3
    """MLOPS_SENSOR_SECONDS: least time between two ticks of a sensor. The daemon looks every 5 s, now and then a little
    sooner: with 5 here most ticks came after 10 s."""
    landing_hours: int = 26
    """MLOPS_LANDING_HOURS: hours after a day has landed within which the next one must, or people are told that the
    calendar is silent. A source that delivers every day needs a little more than 24; a replay is faster."""
    start_services: bool = True
    """MLOPS_START_SERVICES: start the embedded MLflow and model servers when they do not answer."""
    feed_until: str | None = None
    """MLOPS_FEED_UNTIL: last day that the replayed feed lands."""
    live_from: str | None = None
    """MLOPS_LIVE_FROM: first day with live traffic, instead of the use case's own."""
    feed_from: str | None = None
    """MLOPS_FEED_FROM: first day of history that lands, instead of the calendar's first."""
    data_remote: str | None = None
    """MLOPS_DATA_REMOTE: the DVC remote that training sets are pushed to and pulled from, any address that DVC knows
    (a folder, ssh://, s3://, gs://, azure://, http://: the cloud ones need DVC's plugin of that name)."""
    tables_folder: Path | None = None
    """MLOPS_TABLES: folder of the Delta tables, when it is not the one in the state folder."""
    retention_hours: int = 168
    """MLOPS_RETENTION_HOURS: how long the files of old table versions are kept after the last version that needs them;
    longer than any run takes. Those that a registered model was made from are kept for good."""
    sample: bool = False
    """MLOPS_SAMPLE: every use case on a few days, with few rounds (``use_cases.sample``)."""
    segments: tuple[tuple[str, str], ...] = ()
    """MLOPS_SEGMENTS: ``arrival_delay:origin``: use cases that have a model per level of a column too, beside their
    own; several are separated by commas."""
    registry_environment: str = ""
    """MLOPS_REGISTRY_ENVIRONMENT: this deployment's place on a registry that several share: its models are named
    ``<environment>.<model>`` there."""
    production_uri: str | None = None
    """MLOPS_PRODUCTION_URI: the MLflow server of production; the deployment's own when not given."""
    production_environment: str = "production"
    """MLOPS_PRODUCTION_ENVIRONMENT: the same of production."""
    signing_key: Path | None = None
    """MLOPS_SIGNING_KEY: PEM file of the private key that registration signs with; nothing is signed without."""
    verify_key: Path | None = None
    """MLOPS_VERIFY_KEY: PEM file of the public key; with it, releases and the server refuse what is not signed."""
    traffic_log_megabytes: int = 20_000
    """MLOPS_TRAFFIC_LOG_MEGABYTES: the server's log becomes no larger. A full one is as a full disk: without a record
    there is no answer. A database server has limits of its own."""
    traffic_log_wait: bool = True
    """MLOPS_TRAFFIC_LOG_WAIT: 0 lets answers leave before their records are on disk; a killed server loses some."""
    server_workers: int = 1
    """MLOPS_SERVER_WORKERS: processes of the model server that score; with two or more, one beside them speaks HTTP."""
    served_models: tuple[str, ...] = ()
    """MLOPS_SERVED_MODELS: ``<use case>.*``, more than one with commas: every registered model of such a name is served
    too, with the entity id, time zone and fallback of that use case."""
    model_memory_megabytes: int = 0
    """MLOPS_MODEL_MEMORY_MEGABYTES: of each worker, for loaded models; those that were asked for last stay in memory,
    others are loaded when they are asked for. 0: all are loaded, always."""
    traffic_log: str = field(default="", repr=False)
    """MLOPS_TRAFFIC_LOG: ``postgresql://user:password@host/database`` for a log that several model servers share;
    empty: a SQLite file, for one. The password may also be where libpq finds it (PGPASSWORD, PGPASSFILE)."""
    compiled_trees: bool = True
    """MLOPS_COMPILED_TREES: 0 has LightGBM itself compute trees in the server, where compiled code does by default."""
    predict_token: str | None = field(default=None, repr=False)
    """MLOPS_PREDICT_TOKEN: what callers of the model server send as a bearer token; nobody needs one without."""
    admin_token: str | None = field(default=None, repr=False)
    """MLOPS_ADMIN_TOKEN: the same for what changes the server; it may predict too."""
    tls_certificate: Path | None = None
    """MLOPS_TLS_CERTIFICATE: PEM file of the model server's certificate; its own clients trust it."""
    tls_key: Path | None = None
    """MLOPS_TLS_KEY: PEM file of its private key."""
    openlineage: str = ""
    """MLOPS_OPENLINEAGE: where lineage events go: ``http://host:port``, ``file:///path``, or nowhere."""
    runbooks: str = "docs/runbooks"
    """MLOPS_RUNBOOKS: where people find the runbooks that alerts name: an address, or a folder of the repository."""
    alert_addresses: tuple[str, ...] = field(default=(), repr=False)
    """MLOPS_ALERT_ADDRESSES: who is told of alerts, besides the record: addresses that Apprise knows, separated by
    spaces (``jsons://host/hook``, ``mailtos://user:password@host?to=...``, ``slack://...``, ``pagerduty://...``)."""

    @property
    def signatures(self) -> Signatures:
        """What signs and checks versions."""
        return Signatures(private_key=self.signing_key, public_key=self.verify_key)

    @property
    def tables(self) -> Path:
        """Folder of the Delta tables."""
        return self.tables_folder or self.state / "tables"

    @property
    def features(self) -> Path:
        """Folder of the feature store's registry and online store."""
        return self.state / "features"

    @property
    def online_address(self) -> str:
        """Of the online store: Redis, or the SQLite file."""
        return self.online_store or str(self.features / "online.db")

    @property
    def serving(self) -> Path:
        """Folder of the model server: desired state, bundles, traffic log."""
        return self.state / "serving"

    @property
    def traffic_address(self) -> str:
        """Of the traffic log: Postgres, or the SQLite file."""
        return self.traffic_log or str(self.serving / "traffic.db")

    @property
    def mlflow(self) -> Path:
        """Folder of the embedded MLflow server."""
        return self.state / "mlflow"

    @property
    def dagster(self) -> Path:
        """Home of the Dagster instance."""
        return self.state / "dagster"

    @property
    def dvc(self) -> Path:
        """Folder of the DVC repository."""
        return self.state / "dvc"

    @property
    def remote(self) -> str:
        """Address of the DVC remote; a folder beside the repository when nothing else was said."""
        return self.data_remote or str(self.state / "dvc-remote")

    @property
    def use_cases(self) -> tuple[UseCase, ...]:
        """The facts that this deployment runs on."""
        chosen = with_segments(USE_CASES, self.segments)
        return tuple(map(sampled, chosen)) if self.sample else chosen

    @classmethod
    def from_environment(cls) -> "Settings":
        """The settings of this process; an empty variable counts as none. Raises SettingsError."""
        given = {name: _read(name, form) for name, form in FORMS.items()}
        told = {name: value for name, value in given.items() if value is not None}
        state = cls.state / "sample" if told.get("sample") else cls.state
        return cls(**{"state": state, **told})


class Form(NamedTuple):
    """How the text of a variable is read."""

    kind: Any
    """What msgspec makes of it."""
    asked: str
    """The same in words."""
    made: Callable[[Any], Any] = lambda read: read


def _remote(address: str) -> str:
    """The address of a remote; a folder counts from where the command was given, not from DVC's own files."""
    return address if "://" in address else str(Path(address).resolve())


def _pairs(given: str) -> tuple[tuple[str, str], ...]:
    """The use cases and columns of segments. Raises msgspec.ValidationError for what no segments can be made of."""
    pairs = tuple(tuple(part.strip().split(":")) for part in given.split(","))
    if not set(pairs) <= set(possible(USE_CASES)):
        raise msgspec.ValidationError("segment: no such use case or column")
    return pairs  # type: ignore[return-value]


def _parted(names: str) -> tuple[str, ...]:
    return tuple(names.split(","))


def _text(pattern: str) -> Any:
    return Annotated[str, msgspec.Meta(pattern=pattern)]


PLACE = Form(str, "a path", lambda path: Path(path).resolve())
SERVER = Form(_text(r"^https?://[^/\s]+"), "an address like http://127.0.0.1:5757")
SWITCH = Form(bool, "1 or 0, true or false")
CALENDAR_DAY = Form(dt.date, "a day like 2013-04-15", dt.date.isoformat)
NAME = Form(_text(r"^[A-Za-z0-9_-]+$"), "a name of letters, digits, - and _")
SEGMENTS = Form(str, f"one or more of {', '.join(map(':'.join, possible(USE_CASES)))}, separated by commas", _pairs)
TOKEN = Form(_text(r"^[A-Za-z0-9._~+/=-]{16,256}$"), "a token of 16 to 256 letters, digits and . _ ~ + / = -")
POSTGRES = Form(
    _text(r"^postgres(ql)?://([^\s%]|%[0-9A-Fa-f]{2})+$"),
    "an address like postgresql://user:password@host:5432/database",
)
ADDRESSES = Form(
    _text(r"^\s*[A-Za-z][A-Za-z0-9+.-]*://\S+(\s+[A-Za-z][A-Za-z0-9+.-]*://\S+)*\s*$"),
    "addresses of Apprise like jsons://host/hook, separated by spaces",
    lambda given: tuple(given.split()),
)
SECRET = (TOKEN, POSTGRES, ADDRESSES)
FORMS: Mapping[str, Form] = {
    "state": PLACE,
    "registry_uri": SERVER,
    "endpoint_url": SERVER,
    "ui_url": SERVER,
    "online_store": Form(_text(r"^rediss?://[^/\s]+"), "an address like redis://127.0.0.1:6379/0"),
    "sensor_seconds": Form(Annotated[int, msgspec.Meta(ge=1)], "a whole number of seconds, 1 or more"),
    "landing_hours": Form(Annotated[int, msgspec.Meta(ge=1)], "a whole number of hours, 1 or more"),
    "start_services": SWITCH,
    "feed_until": CALENDAR_DAY,
    "live_from": CALENDAR_DAY,
    "feed_from": CALENDAR_DAY,
    "data_remote": Form(str, "an address that DVC knows", _remote),
    "tables_folder": PLACE,
    "retention_hours": Form(Annotated[int, msgspec.Meta(ge=0)], "a whole number of hours, 0 or more"),
    "sample": SWITCH,
    "segments": SEGMENTS,
    "registry_environment": NAME,
    "production_uri": SERVER,
    "production_environment": NAME,
    "signing_key": PLACE,
    "verify_key": PLACE,
    "traffic_log_megabytes": Form(Annotated[int, msgspec.Meta(ge=1)], "a whole number of megabytes, 1 or more"),
    "traffic_log_wait": SWITCH,
    "server_workers": Form(Annotated[int, msgspec.Meta(ge=1, le=64)], "a whole number of processes, 1 to 64"),
    "served_models": Form(_text(r"^\w+\.\*(,\w+\.\*)*$"), "names like arrival_delay.*, with commas", _parted),
    "model_memory_megabytes": Form(Annotated[int, msgspec.Meta(ge=0)], "a whole number of megabytes, 0 or more"),
    "traffic_log": POSTGRES,
    "compiled_trees": SWITCH,
    "predict_token": TOKEN,
    "admin_token": TOKEN,
    "tls_certificate": PLACE,
    "tls_key": PLACE,
    "openlineage": Form(_text(r"^(https?://[^/\s]+|file:///)"), "an address like http://host:port or file:///path"),
    "runbooks": Form(_text(r"^\S+$"), "an address or a folder, without spaces"),
    "alert_addresses": ADDRESSES,
}
"""Setting -> its form: all of them."""


def _variable(setting: str) -> str:
    return "MLOPS_TABLES" if setting == "tables_folder" else f"MLOPS_{setting.upper()}"


def _read(setting: str, form: Form) -> Any:
    """What the environment says of a setting; None when it says nothing."""
    given = os.environ.get(_variable(setting), "")
    if not given:
        return None
    try:
        return form.made(msgspec.convert(given, form.kind, strict=False))
    except msgspec.ValidationError as error:
        shown = "what it is" if form in SECRET else repr(given)
        raise SettingsError(f"{_variable(setting)} must be {form.asked}, not {shown}") from error


def without_password(address: str) -> str:
    """An address of Postgres that may be written down."""
    named = re.sub(r"^(\w+://[^:@/?]*):[^?]*@", r"\1@", address)
    return re.sub(r"(?<=[?&])(ssl)?password=[^&]*&?", "", named).rstrip("?&")
