"""Monitoring: what was answered, what came of it, what each monitor says of a day, and what is to be done.

Here: the modules of the stage and ``build_monitoring``. Belongs here: assets by day that look at traffic. Does not:
the mathematics (``ml.monitoring``, ``ml.performance``, ``ml.policy``, ``ml.releases``), acting on a decision
(``assets.remediation``).
"""

from typing import Any

from mlops_assets.assets.monitoring.challengers import build_challengers
from mlops_assets.assets.monitoring.decision import build_decision
from mlops_assets.assets.monitoring.monitors import build_monitors
from mlops_assets.assets.monitoring.retention import build_retention
from mlops_assets.assets.monitoring.traffic import build_traffic
from mlops_assets.contracts import UseCase


def build_monitoring(use_case: UseCase) -> list[Any]:
    """The monitoring assets of a use case."""
    makers = (build_traffic, build_retention, build_monitors, build_challengers, build_decision)
    return [asset for maker in makers for asset in maker(use_case)]
