"""Lineage as OpenLineage events, over HTTP or into a file.

Here: ``OpenLineageEvents``: our records in the standard's form, and where datasets are in the world. Belongs here:
facets, names and namespaces, the client library. Does not: what happened (``automation.run_lineage``).

Datasets are named as the standard asks: a Delta table by its path (namespace ``file``, or its bucket), a version by the
registry that holds it; a symlink tells the name that people use.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlops_assets.adapters.lineage_events import (
    FILE,
    TABLE,
    VERSION,
    DatasetState,
    LineageEvents,
    LineageRun,
    LineageUndelivered,
    NoLineageEvents,
)
from mlops_assets.adapters.settings import Settings

if TYPE_CHECKING:
    from openlineage.client.transport import Transport

NAMESPACE = "mlops_assets"
PRODUCER = "urn:mlops-assets"
TIMEOUT_S = 5.0
RETRIES = 1
"""The sensor tries again at its next tick; it must not hold the others up."""


def lineage_events(settings: Settings) -> LineageEvents:
    """The collector that the settings name. Raises ValueError for an address that is neither http nor file."""
    return OpenLineageEvents(settings) if settings.openlineage else NoLineageEvents()


class OpenLineageEvents(LineageEvents):
    """Sends to ``settings.openlineage``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        scheme = urlsplit(settings.openlineage).scheme
        if scheme not in ("http", "https", "file"):
            raise ValueError(
                f"MLOPS_OPENLINEAGE must be http://host:port or file:///path, not {settings.openlineage!r}"
            )

    def tell(self, runs: Sequence[LineageRun]) -> None:
        """As in LineageEvents."""
        from openlineage.client.client import OpenLineageClient
        from openlineage.client.event_v2 import set_producer

        set_producer(PRODUCER)
        client = OpenLineageClient(transport=self._transport())
        for run in runs:
            for event in self._events(run):
                try:
                    client.emit(event)
                except Exception as error:
                    raise LineageUndelivered(f"{self._settings.openlineage} took no event: {error}") from error

    def _transport(self) -> "Transport":
        address = urlsplit(self._settings.openlineage)
        if address.scheme == "file":
            from openlineage.client.transport.file import FileConfig, FileTransport

            Path(address.path).parent.mkdir(parents=True, exist_ok=True)
            return FileTransport(FileConfig(log_file_path=address.path, append=True))
        from openlineage.client.transport.http import HttpConfig, HttpTransport

        url = self._settings.openlineage
        return HttpTransport(HttpConfig.from_dict({"url": url, "timeout": TIMEOUT_S, "retry": {"total": RETRIES}}))

    def _events(self, run: LineageRun) -> Iterator[Any]:
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

        told = Run(runId=run.id, facets=self._run_facets(run))
        job = Job(namespace=NAMESPACE, name=run.job, facets=_job_facets(run))
        yield RunEvent(eventType=RunState.START, eventTime=run.started_at, run=told, job=job)
        yield RunEvent(
            eventType=RunState(run.state),
            eventTime=run.ended_at,
            run=told,
            job=job,
            inputs=[self._input(dataset) for dataset in run.inputs],
            outputs=[self._output(dataset, run) for dataset in run.outputs],
        )

    def _run_facets(self, run: LineageRun) -> dict[str, Any]:
        from openlineage.client.facet_v2 import error_message_run, nominal_time_run, parent_run

        facets: dict[str, Any] = {}
        if run.parent:
            job, run_id = run.parent
            facets["parent"] = parent_run.ParentRunFacet(
                run=parent_run.Run(runId=run_id), job=parent_run.Job(namespace=NAMESPACE, name=job)
            )
        if run.days:
            first, last = (f"{day}T00:00:00Z" for day in run.days)
            facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(nominalStartTime=first, nominalEndTime=last)
        if run.error:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(run.error, "python")
        return facets

    def _input(self, dataset: DatasetState) -> Any:
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

        checks = [
            quality.Assertion(assertion=c.name, success=c.passed, severity=c.severity, description=c.description)
            for c in dataset.assertions
        ]
        facets: dict[str, Any] = (
            {"dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet(checks)} if checks else {}
        )
        namespace, name = self.place(dataset)
        return InputDataset(namespace, name, facets=self._facets(dataset), inputFacets=facets)

    def _output(self, dataset: DatasetState, run: LineageRun) -> Any:
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

        rows = dataset.rows
        told = None if rows is None else statistics.OutputStatisticsOutputDatasetFacet(rows)
        facets: dict[str, Any] = {"outputStatistics": told} if told else {}
        namespace, name = self.place(dataset)
        return OutputDataset(namespace, name, facets=self._facets(dataset), outputFacets=facets)

    def _facets(self, dataset: DatasetState) -> dict[str, Any]:
        from openlineage.client.facet_v2 import (
            dataset_version_dataset,
            schema_dataset,
            storage_dataset,
            symlinks_dataset,
        )

        kind = "TABLE" if dataset.kind == TABLE else dataset.kind.upper()
        alias = symlinks_dataset.Identifier(namespace=NAMESPACE, name=dataset.name, type=kind)
        facets: dict[str, Any] = {"symlinks": symlinks_dataset.SymlinksDatasetFacet([alias])}
        if dataset.version is not None:
            facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version)
        if dataset.kind == TABLE:
            facets["storage"] = storage_dataset.StorageDatasetFacet("delta", "parquet")
        if dataset.columns:
            fields = [schema_dataset.SchemaDatasetFacetFields(c.name, c.type, c.description) for c in dataset.columns]
            facets["schema"] = schema_dataset.SchemaDatasetFacet(fields)
        if dataset.column_lineage:
            facets["columnLineage"] = self._column_lineage(dataset)
        return facets

    def _column_lineage(self, dataset: DatasetState) -> Any:
        from openlineage.client.facet_v2 import column_lineage_dataset as lineage

        domain = dataset.name.split("/")[0]

        def source(known) -> Any:
            table = DatasetState(name=f"{domain}/datasets/{known.dataset}", kind=TABLE)
            namespace, name = self.place(table)
            kind = ("DIRECT", "AGGREGATION") if known.direct else ("INDIRECT", "GROUP_BY")
            return lineage.InputField(namespace, name, known.column, [lineage.Transformation(*kind)])

        fields = {
            column: lineage.Fields(inputFields=[source(known) for known in sources])
            for column, sources in dataset.column_lineage.items()
        }
        return lineage.ColumnLineageDatasetFacet(fields)

    def place(self, dataset: DatasetState) -> tuple[str, str]:
        """Namespace and name of a dataset, by the standard's rules of naming."""
        if dataset.kind == TABLE:
            return "file", str(self._settings.tables / dataset.name)
        if dataset.kind == FILE:
            return "file", str(self._settings.state / "artifacts" / dataset.name)
        if dataset.kind == VERSION:
            return self._settings.registry_uri, dataset.name
        return NAMESPACE, dataset.name


def _job_facets(run: LineageRun) -> dict[str, Any]:
    from openlineage.client.facet_v2 import job_type_job

    kind = "TASK" if run.parent else "JOB"
    return {"jobType": job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DAGSTER", jobType=kind)}
