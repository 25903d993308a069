"""Where everything is: addresses, folders and secrets, read from the environment once.

Here: ``Settings`` and its defaults for one machine. Belongs here: every environment variable of the project.
Does not: facts of a use case (``use_cases``), knobs of one run (``dg.Config``).
"""

import os
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.adapters.signatures import Signatures

ROOT = Path(__file__).resolve().parents[2]


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
    """MLOPS_UI_URL: Dagster's web server, for links."""
    sensor_seconds: int = 3
    """MLOPS_SENSOR_SECONDS: least time between two ticks of a sensor. The daemon looks every 5 s, now and then a little
    sooner: with 5 here most ticks came after 10 s."""
    start_services: bool = True
    """MLOPS_START_SERVICES: start the embedded MLflow and model servers when they do not answer."""
    feed_until: str | None = None
    """MLOPS_FEED_UNTIL: last day that the replayed feed lands."""
    live_from: str | None = None
    """MLOPS_LIVE_FROM: first day with live traffic, instead of the use case's own."""
    feed_from: str | None = None
    """MLOPS_FEED_FROM: first day of history that lands, instead of the calendar's first."""
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
    openlineage: str = ""
    """MLOPS_OPENLINEAGE: where lineage events go: ``http://host:port``, ``file:///path``, or nowhere."""

    @property
    def signatures(self) -> Signatures:
        """What signs and checks versions."""
        return Signatures(private_key=self.signing_key, public_key=self.verify_key)

    @property
    def tables(self) -> Path:
        """Folder of the Delta tables."""
        return self.state / "tables"

    @property
    def features(self) -> Path:
        """Folder of the feature store's registry and online store."""
        return self.state / "features"

    @property
    def serving(self) -> Path:
        """Folder of the model server: desired state, bundles, traffic log."""
        return self.state / "serving"

    @property
    def mlflow(self) -> Path:
        """Folder of the embedded MLflow server."""
        return self.state / "mlflow"

    @classmethod
    def from_environment(cls) -> "Settings":
        """The settings of this process."""
        read = os.environ.get
        return cls(
            state=Path(read("MLOPS_STATE", str(cls.state))).resolve(),
            registry_uri=read("MLOPS_REGISTRY_URI", cls.registry_uri),
            endpoint_url=read("MLOPS_ENDPOINT_URL", cls.endpoint_url),
            ui_url=read("MLOPS_UI_URL", cls.ui_url),
            sensor_seconds=int(read("MLOPS_SENSOR_SECONDS", str(cls.sensor_seconds))),
            start_services=read("MLOPS_START_SERVICES", "1") == "1",
            feed_until=read("MLOPS_FEED_UNTIL"),
            live_from=read("MLOPS_LIVE_FROM"),
            feed_from=read("MLOPS_FEED_FROM"),
            registry_environment=read("MLOPS_REGISTRY_ENVIRONMENT", cls.registry_environment),
            production_uri=read("MLOPS_PRODUCTION_URI"),
            production_environment=read("MLOPS_PRODUCTION_ENVIRONMENT", cls.production_environment),
            signing_key=_file(read("MLOPS_SIGNING_KEY")),
            verify_key=_file(read("MLOPS_VERIFY_KEY")),
            openlineage=read("MLOPS_OPENLINEAGE", cls.openlineage),
        )


def _file(path: str | None) -> Path | None:
    return Path(path).resolve() if path else None
