"""What a partition reaches: every partition downstream of it, by the graph's own partition mappings.

Here: ``reach``. Belongs here: questions to the graph's shape. Does not: what was really made and asked
(``ml.impact``, from manifests, history and the server's log).
"""

from collections.abc import Mapping

import dagster as dg

from mlops_assets.assets.address import DATASETS, FEATURES, MODELS, TRAINING

LEARNT_FROM = (DATASETS, FEATURES, TRAINING, MODELS)
"""Stages through which data reaches a model. From a release on it is the version that matters, not the day."""


class UnknownPartition(LookupError):
    """The graph has no such dataset, or the dataset no such day. Says which there are."""


def reach(definitions: dg.Definitions, asset: str, day: str | None) -> Mapping[str, list[str]]:
    """Asset (``flights/features/origin_weather``) -> its days that depend on a day of ``asset``, itself included.

    ``day`` is None for an asset without days. An asset without days is reached with an empty list. Raises
    UnknownPartition.
    """
    from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
    from dagster._core.definitions.events import AssetKeyPartitionKey

    graph = definitions.resolve_asset_graph()
    key = _known(graph, asset, day)
    start = AssetGraphSubset.from_asset_partition_set({AssetKeyPartitionKey(key, day)}, graph)
    reached = graph.bfs_filter_subsets(lambda other, _: other.path[1] in LEARNT_FROM, start)
    days = {key.to_user_string(): sorted(s.get_partition_keys()) for key, s in _partitioned(reached)}
    return {**days, **{key.to_user_string(): [] for key in reached.non_partitioned_asset_keys}}


def _partitioned(subset) -> list:
    return list(subset.partitions_subsets_by_asset_key.items())


def _known(graph, asset: str, day: str | None) -> dg.AssetKey:
    key = dg.AssetKey(asset.split("/"))
    known = [k.to_user_string() for k in sorted(graph.get_all_asset_keys()) if k.path[1] in (DATASETS, FEATURES)]
    if asset not in known:
        raise UnknownPartition(f"there is no dataset {asset!r}; there are {', '.join(known)}")
    days = graph.get(key).partitions_def
    if days is None and day is not None:
        raise UnknownPartition(f"{asset} has no days: ask for {asset} alone")
    if days is not None and day is None:
        raise UnknownPartition(f"{asset} is kept by day: ask for one, like {asset}:{days.get_first_partition_key()}")
    if days is not None and not days.has_partition_key(day):
        first, last = days.get_first_partition_key(), days.get_last_partition_key()
        raise UnknownPartition(f"{asset} has no day {day!r}; its days go from {first} to {last}")
    return key
