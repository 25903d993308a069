"""Whether the alarms are armed that would notice a bad release.

Here: ``unarmed``. Belongs here: gathering what says so. Does not: which monitors they are (``ml.alarms``), what waits
for them (``ml.releases``).
"""

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.scorers import reference_of
from mlops_assets.assets.files import judgements_of
from mlops_assets.assets.partitions import span
from mlops_assets.contracts import UseCase
from mlops_assets.ml.alarms import ALARMS, armed_since, silent


def without_reference(registry: Registry, use_case: UseCase, version: int) -> tuple[str, ...]:
    """Why the monitors could not judge a version; () when its drift reference can be read.

    All that can be asked before a version has answered anybody: monitors judge a champion and its traffic, and without
    one they have nothing to say. With a reference they do from its first day on.
    """
    try:
        reference_of(registry, use_case.name, version)
    except Exception as error:
        return (f"the drift reference of version {version} cannot be read: {type(error).__name__}: {error}",)
    return ()


def unarmed(registry: Registry, artifacts: Artifacts, use_case: UseCase, version: int, day: str) -> tuple[str, ...]:
    """Why nobody would notice on ``day`` that the version is bad; () when the alarms are armed."""
    spoken = [j for at in span(armed_since(day), day) for j in judgements_of(artifacts, use_case, at, ALARMS)]
    return (*without_reference(registry, use_case, version), *silent(day, spoken))
