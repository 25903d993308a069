"""MLflow runs as records: found by the Dagster run they belong to, created once, ended truthfully.

Here: what the project asks of MLflow's tracking server. Belongs here: requests about runs and experiments.
Does not: Dagster, the active run of a process (``resources.mlflow``), the model registry (``mlflow_registry``).
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.locks import locked
from mlops_assets.adapters.mlflow_server import answers, is_missing

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK = Path(tempfile.gettempdir()) / "mlops_assets.mlflow_run.lock"
"""The step processes of one Dagster run are on one machine: the first of them creates the MLflow run."""
OWNER_TAG = "dagster_run_id"
"""The tag by which dagster-mlflow itself finds a Dagster run's MLflow run."""


class Experiments:
    """The runs of one experiment on the MLflow server at ``tracking_uri``.

    Every method raises ``RegistryUnavailable`` when the server does not answer.
    """

    def __init__(self, tracking_uri: str, experiment: str, owner_tag: str = OWNER_TAG) -> None:
        """``owner_tag`` is the tag by which a run is found: the Dagster run's id unless told otherwise."""
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self.owner_tag = owner_tag

    def find(self, owner: str) -> str | None:
        """Id of the MLflow run of a Dagster run, or None."""
        with answers(self.tracking_uri) as client:
            found = client.search_runs(
                [self._experiment_id(client)], f"tags.{self.owner_tag} = '{owner}'", max_results=1
            )
        return found[0].info.run_id if found else None

    def find_or_create(self, owner: str, name: str, tags: Mapping[str, str]) -> str:
        """Id of the one MLflow run of a Dagster run, however many processes ask at once."""
        with locked(LOCK), answers(self.tracking_uri) as client:
            if known := self.find(owner):
                return known
            all_tags = {**tags, self.owner_tag: owner}
            return client.create_run(self._experiment_id(client), tags=all_tags, run_name=name).info.run_id

    def end(self, run_id: str, status: str, at: float | None) -> str:
        """Give a run its final status, at an instant in epoch seconds; what was done, in words."""
        from mlflow.exceptions import MlflowException

        try:
            with answers(self.tracking_uri) as client:
                before = client.get_run(run_id).info
                if before.status == status and before.end_time:
                    return f"was {status} already"
                client.set_terminated(run_id, status, int(at * 1000) if at else None)
        except MlflowException as error:
            if not is_missing(error):
                raise
            return "is gone"
        return f"is {status}, was {before.status}"

    def url(self, run_id: str) -> str:
        """The run's page in MLflow's own web interface."""
        with answers(self.tracking_uri) as client:
            return f"{self.tracking_uri}/#/experiments/{self._experiment_id(client)}/runs/{run_id}"

    def _experiment_id(self, client: "MlflowClient") -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return client.create_experiment(self.experiment)
            except MlflowException:  # another process was faster
                found = client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        return found.experiment_id
