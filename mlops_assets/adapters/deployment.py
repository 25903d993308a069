"""One deployment: every client, made from one ``Settings``.

Here: which adapter stands behind each role. Belongs here: the choice between the embedded part and the real one.
Does not: what a client does, environment variables (``adapters.settings``).
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from mlops_assets.adapters.alerts import Alerts, LogAlerts
from mlops_assets.adapters.artifacts import Artifacts, FolderArtifacts
from mlops_assets.adapters.content_store import ContentStore
from mlops_assets.adapters.dvc_store import DvcStore
from mlops_assets.adapters.endpoint import Endpoint, HttpEndpoint
from mlops_assets.adapters.feast_feature_store import FeastFeatureStore
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.lineage_events import LineageEvents
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.notifications import Notifier
from mlops_assets.adapters.openlineage import lineage_events
from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.replay import Replay
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.source import LandedSource, NycFlights
from mlops_assets.adapters.studies import SqliteStudies, Studies
from mlops_assets.adapters.tables import DeltaTables, Tables
from mlops_assets.adapters.traffic_log import TrafficLog, open_traffic_log


@dataclass(frozen=True)
class Deployment:
    """The clients of one deployment, by role; each is made when it is first asked for."""

    settings: Settings = field(default_factory=Settings.from_environment)

    @cached_property
    def source(self) -> LandedSource:
        """Raw files of a day: the landing folder in front of the source."""
        return LandedSource(self.settings.state / "landing", NycFlights())

    @cached_property
    def tables(self) -> Tables:
        """Delta tables."""
        return DeltaTables(self.settings.tables, self.settings.retention_hours)

    @cached_property
    def feature_store(self) -> FeatureStore:
        """Feast."""
        return FeastFeatureStore(self.settings)

    @cached_property
    def artifacts(self) -> Artifacts:
        """Files that assets hand to each other."""
        return FolderArtifacts(self.settings.state / "artifacts")

    @cached_property
    def content_store(self) -> ContentStore:
        """DVC."""
        return DvcStore(self.settings.dvc, self.settings.remote)

    @cached_property
    def studies(self) -> Studies:
        """Searches for parameters while they run."""
        return SqliteStudies(self.settings.state / "studies")

    @cached_property
    def registry(self) -> Registry:
        """MLflow's model registry."""
        settings = self.settings
        return MlflowRegistry(settings.registry_uri, settings.signatures, settings.registry_environment)

    @cached_property
    def production(self) -> Registry:
        """The registry that versions are transferred to."""
        settings = self.settings
        uri = settings.production_uri or settings.registry_uri
        return MlflowRegistry(uri, settings.signatures, settings.production_environment)

    @cached_property
    def promotions(self) -> Promotions:
        """The promotion history."""
        return Promotions(self.tables)

    @cached_property
    def releases(self) -> Releases:
        """The only way to move an arm."""
        return Releases(self.registry, self.promotions)

    @cached_property
    def endpoint(self) -> Endpoint:
        """The model server."""
        known = self.settings
        token = known.admin_token or known.predict_token
        return HttpEndpoint(known.endpoint_url, token=token, certificate=known.tls_certificate)

    @cached_property
    def traffic_log(self) -> TrafficLog:
        """What the model server answered."""
        return open_traffic_log(self.settings.traffic_address)

    @cached_property
    def alerts(self) -> Alerts:
        """What people are told."""
        return LogAlerts(self.settings.state / "alerts.jsonl", self.settings.runbooks)

    @cached_property
    def notifier(self) -> Notifier:
        """Who is told."""
        return Notifier(self.alerts, self.settings.state / "alerts.delivered.json", self.settings.alert_addresses)

    @cached_property
    def lineage_events(self) -> LineageEvents:
        """Who collects lineage."""
        return lineage_events(self.settings)

    @cached_property
    def replay(self) -> Replay:
        """The outside world of the reference data."""
        parts = (self.source, self.tables, self.feature_store, self.endpoint)
        return Replay(*parts, self.settings.use_cases, live_from=self.settings.live_from)


@lru_cache(maxsize=4)
def deployed(settings: Settings) -> Deployment:
    """The deployment of these settings, one per process: its clients keep their connections and caches."""
    return Deployment(settings)
