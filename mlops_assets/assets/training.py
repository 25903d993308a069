"""Training: the frozen training set of a cut-off day, joined point in time through the feature store.

Here: training_set and the check that its rows are still those of the tables. Belongs here: what is fixed before a
model sees it. Does not: which rows and labels (``ml.training``), features (``feature_repo``), the model
(``assets.models``).

Frozen means: the file is in the DVC remote, read back from there, before the asset says that it succeeded; its manifest
names the file's digest, every table with the version that was read, and the query.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.content_store import ContentStore
from mlops_assets.adapters.documents import training_set_of
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.provenance import read_provenance
from mlops_assets.adapters.registry import Registry, utc_now
from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.adapters.training_sets import rows_at
from mlops_assets.assets.address import DATASETS, FEATURE_VIEWS, FEATURES, TRAINING, group, key, table
from mlops_assets.assets.files import newest_training_set, put_training_set, training_set_path
from mlops_assets.assets.partitions import calendar, shift, span, training_window
from mlops_assets.contracts import EntityQuery, FilePointer, TableVersion, TrainingSetManifest, UseCase, to_plain
from mlops_assets.ml.bundles import digest_of
from mlops_assets.ml.completeness import holes
from mlops_assets.ml.digests import content_digest
from mlops_assets.ml.training import entity_query, freeze

ROWS_ARE_CURRENT = "rows_are_current"
GONE = "(its pinned version is gone)"
MOST_DAYS_TOLD = 5


def build_training(use_case: UseCase) -> list[Any]:
    """The training assets of a use case, and their check against the tables of today."""
    return [_training_set(use_case), _rows_are_current(use_case)]


def inputs_of(use_case: UseCase) -> list[tuple[str, str]]:
    """(stage, name) of every table a training set is made from."""
    views = [(FEATURES, view) for view in FEATURE_VIEWS]
    return [(DATASETS, "flights"), (DATASETS, "arrivals"), *views]


def _training_set(use_case: UseCase) -> dg.AssetsDefinition:
    address = key(use_case, TRAINING, "training_set")
    whole = dg.AssetCheckSpec("has_both_outcomes", asset=address, description="Both labels occur, no label is missing.")
    days = training_window(use_case)

    @dg.asset(
        key=address,
        group_name=group(use_case, TRAINING),
        partitions_def=calendar(use_case.domain),
        deps=[
            dg.AssetDep(key(use_case.domain, stage, name), partition_mapping=days)
            for stage, name in inputs_of(use_case)
        ],
        check_specs=[whole],
    )
    def training_set(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        feature_store: dg.ResourceParam[FeatureStore],
        artifacts: dg.ResourceParam[Artifacts],
        content_store: dg.ResourceParam[ContentStore],
    ) -> dg.MaterializeResult:
        """Every decision whose outcome was known by the cut-off day, with the features known when it was taken."""
        cutoff, pins = context.partition_key, pins_of(tables, use_case, context.partition_key)
        query = query_of(use_case, cutoff)
        require_whole(tables, use_case, query.first_day, cutoff)
        frame = rows_at(tables, feature_store, use_case.feature_service, query, pins)
        content, _ = freeze(frame)
        pointer = content_store.push(training_set_path(use_case, cutoff), content)
        service = feature_store.service_digest(use_case.feature_service)
        manifest = manifest_of(use_case, query, pins, service, frame, content, pointer, context.run.run_id)
        put_training_set(artifacts, use_case, manifest, content)
        rate = float(frame[use_case.label].mean())
        check = dg.AssetCheckResult(passed=0 < rate < 1, check_name=whole.name, metadata={"late_rate": rate})
        return dg.MaterializeResult(
            metadata={"late_rate": rate, **shown(manifest)},
            data_version=dg.DataVersion(manifest.content_digest),
            check_results=[check],
        )

    return training_set


def _rows_are_current(use_case: UseCase) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=key(use_case, TRAINING, "training_set"),
        name=ROWS_ARE_CURRENT,
        # After them in the job of a day, or it would look at yesterday's tables.
        additional_deps=[key(use_case.domain, stage, name) for stage, name in inputs_of(use_case)],
        description=(
            "No day has changed since it was trained on, in the training sets of the versions that hold an arm and in "
            "the newest one. Dagster's own staleness stops at 100 upstream partitions."
        ),
    )
    def rows_are_current(
        tables: dg.ResourceParam[Tables], artifacts: dg.ResourceParam[Artifacts], registry: dg.ResourceParam[Registry]
    ) -> dg.AssetCheckResult:
        watched = watched_training_sets(use_case, artifacts, registry)
        changed = {name: changed_since(tables, manifest) for name, manifest in watched.items()}
        changed = {name: by_table for name, by_table in changed.items() if by_table}
        return dg.AssetCheckResult(
            passed=not changed,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(f"{name}: {told(by_table)}" for name, by_table in changed.items()) or None,
            metadata={"looked_at": dg.MetadataValue.json(list(watched)), "changed": dg.MetadataValue.json(changed)},
        )

    return rows_are_current


def watched_training_sets(
    use_case: UseCase, artifacts: Artifacts, registry: Registry
) -> dict[str, TrainingSetManifest]:
    """Whose training set, in words -> its manifest: of every version that holds an arm, and the newest."""
    held = sorted(registry.model(use_case.name).aliases.items())
    behind = {f"{arm} (version {number})": training_set_of(registry, use_case.name, number) for arm, number in held}
    newest = newest_training_set(artifacts, use_case)
    named = {**behind, f"newest ({newest.cutoff_day})": newest} if newest else behind
    return {name: manifest for name, manifest in named.items() if manifest}


def changed_since(tables: Tables, manifest: TrainingSetManifest) -> dict[str, list[str]]:
    """Table -> days of the window whose rows are others now than at the pinned version; only tables that have some.

    A version that is gone cannot be compared: its table stands with the word GONE in place of days.
    """
    found = {pinned.table: _changed(tables, pinned) for pinned in manifest.tables}
    return {name: days for name, days in found.items() if days}


def _changed(tables: Tables, pinned: TableVersion) -> list[str]:
    try:
        return tables.changed_days(pinned.table, pinned.version, pinned.first_day, pinned.last_day)
    except TableMissing:
        return [GONE]


def told(changed: Mapping[str, list[str]]) -> str:
    """Changed days in words; all of them are in the metadata."""
    return ", ".join(f"{name} changed on {_days(days)}" for name, days in changed.items())


def _days(days: list[str]) -> str:
    return " ".join(days) if len(days) <= MOST_DAYS_TOLD else f"{len(days)} days from {days[0]} to {days[-1]}"


def first_day(use_case: UseCase, cutoff_day: str) -> str:
    """First day of the training window that ends on the cut-off day."""
    window = use_case.training.window_days
    return use_case.domain.first_day if window is None else shift(cutoff_day, 1 - window)


def require_whole(tables: Tables, use_case: UseCase, first: str, last: str) -> None:
    """Raises dg.Failure when a landed day of the window has a hole.

    A check that blocks stops what follows it in its own run; the rows that it refused stay, and the next run would
    train on them. A hole in any segment counts for all of them: each has features of the others' landings.
    """
    flights, arrivals = (table(use_case.domain, DATASETS, name) for name in ("flights", "arrivals"))
    columns = ["day", "origin", "sched_arr_at"]
    scheduled = tables.read(flights, shift(first, -1), last, columns=columns)
    landed = tables.read(arrivals, first, last, columns=["day", "origin"])
    broken = holes(scheduled, landed, span(first, last))
    if broken:
        days = "; ".join(f"{day} has {why}" for day, why in list(broken.items())[:MOST_DAYS_TOLD])
        more = f" and {len(broken) - MOST_DAYS_TOLD} days more" if len(broken) > MOST_DAYS_TOLD else ""
        raise dg.Failure(
            f"the training set of {last} would have holes: {days}{more}. Land these days again and materialize their "
            "datasets, then this training set.",
            metadata={"holes": dg.MetadataValue.json(broken)},
            allow_retries=False,
        )


def query_of(use_case: UseCase, cutoff_day: str) -> EntityQuery:
    """What the training set of that day asks the tables."""
    flights, arrivals = (table(use_case.domain, DATASETS, name) for name in ("flights", "arrivals"))
    return entity_query(use_case, flights, arrivals, first_day(use_case, cutoff_day), cutoff_day)


def pins_of(tables: Tables, use_case: UseCase, cutoff_day: str) -> tuple[TableVersion, ...]:
    """The state of every table that the training set of that day reads."""
    first = first_day(use_case, cutoff_day)
    return tuple(pin(tables, use_case, stage, name, first, cutoff_day) for stage, name in inputs_of(use_case))


def pin(tables: Tables, use_case: UseCase, stage: str, name: str, first: str, last: str) -> TableVersion:
    """The state of one table."""
    address = table(use_case.domain, stage, name)
    version = tables.version(address)
    if version is None:
        raise dg.Failure(f"table {address} does not exist: materialize {address} for {first} to {last} first")
    return TableVersion(table=address, version=version, first_day=first, last_day=last)


def manifest_of(
    use_case: UseCase,
    query: EntityQuery,
    pins: tuple[TableVersion, ...],
    service_digest: str,
    frame: pd.DataFrame,
    content: bytes,
    pointer: FilePointer,
    run_id: str,
) -> TrainingSetManifest:
    """Everything that made these rows, and where their file is."""
    code = read_provenance()
    return TrainingSetManifest(
        use_case=use_case.name,
        cutoff_day=query.cutoff_day,
        tables=pins,
        feature_service=use_case.feature_service,
        feature_service_digest=service_digest,
        query=query,
        code_commit=code.code_commit,
        code_dirty=code.code_dirty,
        lock_digest=code.lock_digest,
        rows=len(frame),
        digest=digest_of(content),
        content_digest=content_digest(frame),
        file=pointer,
        dagster_run_id=run_id,
        created_at=utc_now(),
    )


def shown(manifest: TrainingSetManifest) -> dict[str, Any]:
    """The manifest for Dagster's UI: what people look for by name, and all of it."""
    return {
        "dagster/partition_row_count": manifest.rows,
        "first_day": manifest.query.first_day,
        "digest": manifest.digest,
        "content_digest": manifest.content_digest,
        "query": manifest.query.text,
        "tables": dg.MetadataValue.json({pinned.table: pinned.version for pinned in manifest.tables}),
        "remote": manifest.file.remote,
        "manifest": dg.MetadataValue.json(to_plain(manifest)),
    }
