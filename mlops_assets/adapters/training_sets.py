"""Training sets: their rows out of pinned tables, by the recorded query.

Here: ``rows_at``. Belongs here: what the training set's asset and its reproduction do alike. Does not: which decisions
are rows (``ml.training``), the join (``adapters.feature_store``), keeping the file (``adapters.content_store``).
"""

from collections.abc import Iterable

import pandas as pd

from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.tables import Tables
from mlops_assets.contracts import EntityQuery, TableVersion
from mlops_assets.ml.training import asked


def rows_at(
    tables: Tables, feature_store: FeatureStore, service: str, query: EntityQuery, pins: Iterable[TableVersion]
) -> pd.DataFrame:
    """The decisions that ``query`` asks for, each with the features of ``service`` known when it was taken.

    Every table is read at its pinned version. Raises TableMissing, also for a version that was vacuumed away; KeyError
    for a table that is not pinned.
    """
    versions = {pin.table: pin.version for pin in pins}
    first, last = query.first_day, query.cutoff_day
    flights = tables.read(query.decisions_table, first, last, versions[query.decisions_table])
    arrivals = tables.read(query.outcomes_table, first, last, versions[query.outcomes_table])
    return feature_store.training_frame(service, asked(query, flights, arrivals), versions)
