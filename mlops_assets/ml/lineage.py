"""Everything upstream of a registered version, and everything that happened to it, as plain data and as text.

Here: how the facts of a manifest, an evaluation and the promotion history are put together. Belongs here: questions
about where a version came from. Does not: fetching those facts (``adapters.registry``, ``adapters.promotions``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.contracts import (
    Evaluation,
    Manifest,
    ModelVersion,
    TableVersion,
    TrainingSetManifest,
    Transition,
    to_plain,
)


def lineage_of(
    version: ModelVersion,
    manifest: Manifest,
    frozen: TrainingSetManifest | None,
    evaluation: Evaluation,
    transitions: Sequence[Transition],
) -> dict[str, Any]:
    """What made this version: code, lock, feature service, tables with pinned versions and days, digests.

    ``frozen`` is None for versions from before training sets had manifests.
    """
    return {
        "model": version.name,
        "version": version.version,
        "artifact_digest": version.digest,
        "aliases": list(version.aliases),
        "code_commit": manifest.code_commit,
        "code_dirty": manifest.code_dirty,
        "lock_digest": manifest.lock_digest,
        "feature_service": manifest.feature_service,
        "feature_service_digest": manifest.feature_service_digest,
        "training_set": {
            "digest": manifest.training_set_digest,
            "rows": manifest.training_rows,
            "first_day": manifest.window_first_day,
            "cutoff_day": manifest.cutoff_day,
            "validation_first_day": manifest.validation_first_day,
            "content_digest": frozen.content_digest if frozen else None,
            "query": to_plain(frozen.query) if frozen else None,
            "file": to_plain(frozen.file) if frozen else None,
            "code_commit": frozen.code_commit if frozen else None,
        },
        "tables": [_table(table) for table in manifest.tables],
        "params": dict(manifest.params),
        "training_config": dict(manifest.training_config),
        "packages": dict(manifest.packages),
        "trained_because": manifest.trained_because,
        "fault_injected": manifest.fault_injected,
        "dagster_run_id": manifest.dagster_run_id,
        "mlflow_run_id": manifest.mlflow_run_id,
        "metrics": dict(evaluation.metrics),
        "gates": [to_plain(gate) for gate in evaluation.gates],
        "history": [to_plain(line) for line in transitions if line.version == version.version],
    }


def lineage_text(lineage: Mapping[str, Any]) -> str:
    """The same as an indented tree for a terminal."""
    training = lineage["training_set"]
    commit = lineage["code_commit"] + (" (with uncommitted changes)" if lineage["code_dirty"] else "")
    lines = [
        f"{lineage['model']} version {lineage['version']}  {' '.join(lineage['aliases'])}".rstrip(),
        f"├─ artifact        {lineage['artifact_digest']}",
        f"├─ code            {commit}",
        f"├─ lock            {lineage['lock_digest']}",
        f"├─ runs            dagster {lineage['dagster_run_id']}  mlflow {lineage['mlflow_run_id']}",
        f"├─ feature service {lineage['feature_service']}  {lineage['feature_service_digest'][:16]}",
        f"├─ training set    {training['digest'][:16]}  {training['rows']:,} rows, "
        f"{training['first_day']} to {training['cutoff_day']}",
        *_frozen_lines(training),
        *[_table_line(table) for table in lineage["tables"]],
        f"├─ because         {lineage['trained_because']}",
        f"├─ metrics         {_numbers(lineage['metrics'])}",
        *_answer_lines(lineage.get("answers")),
        "└─ history",
        *[f"   ├─ {line['day']}  {line['kind']:<12} {line['by']}: {line['reason']}" for line in lineage["history"]],
    ]
    return "\n".join(lines)


def _frozen_lines(training: Mapping[str, Any]) -> list[str]:
    file, query = training["file"], training["query"]
    if file is None:
        return []
    return [
        f"│  ├─ file  {file['remote']}  md5 {file['md5']}  {file['size']:,} bytes",
        f"│  ├─ query  {query['text']}",
    ]


def _table(table: TableVersion) -> dict[str, Any]:
    return {
        "table": table.table,
        "version": table.version,
        "rows": table.rows,
        "partitions": None if table.first_day is None else {"first": table.first_day, "last": table.last_day},
    }


def _table_line(table: Mapping[str, Any]) -> str:
    days = table["partitions"]
    span = f"{days['first']} to {days['last']}" if days else "whole"
    return f"│  ├─ {table['table']}  version {table['version']}  {span}"


def _answer_lines(answers: Mapping[str, Any] | None) -> list[str]:
    if not answers or not answers["answers"]:
        return []
    span = f"{answers['days']} days, {answers['first_day']} to {answers['last_day']}"
    return [f"├─ answered        {answers['answers']:,} requests on {span}"]


def _numbers(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
