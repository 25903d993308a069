"""What moved the champion's answers, day by day, kept so that each day is explained once.

Here: the explained days behind a verdict on attribution. Belongs here: when a day is explained anew. Does not: the
verdict (``ml.attribution_drift``), computing (``ml.attribution_reference``).
"""

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.assets.files import attributions_of, put_attributions
from mlops_assets.assets.monitoring.evidence import Evidence
from mlops_assets.contracts import UseCase
from mlops_assets.ml.attribution_reference import DayAttributions
from mlops_assets.ml.attribution_reference import attributions_of as explain
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.monitoring import MIN_ROWS


def explained_days(artifacts: Artifacts, use_case: UseCase, scorer: Scorer, seen: Evidence) -> list[DayAttributions]:
    """The days of the week's traffic with enough answers that the champion scored, oldest first.

    The verdict's own day is explained anew whenever it is judged; of earlier days what was kept counts.
    """
    version, found = seen.about.champion_version or 0, []
    rows = seen.of_champion(seen.traffic)
    for day, answered in rows.groupby("day") if len(rows) else ():
        kept = attributions_of(artifacts, use_case, str(day), version) if day != seen.about.day else None
        if kept is None and len(answered) >= MIN_ROWS:
            kept = explain(scorer, answered, str(day), version)
            put_attributions(artifacts, use_case, kept)
        found += [kept] if kept else []
    return found
