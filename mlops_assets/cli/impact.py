"""The command ``impact``: what a bad day of data touched.

Belongs here: gathering what is on record, printing. Does not: putting it together (``ml.impact``), the graph's reach
(``assets.reach``).
"""

from typing import TYPE_CHECKING

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import JSON
from mlops_assets.contracts import UseCase, to_json

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.adapters.deployment import Deployment
    from mlops_assets.ml.impact import UseCaseRecord


@click.command()
@click.argument("partition", metavar="DATASET:DAY")
@JSON
def impact(partition: str, as_json: bool) -> None:
    """What a day of a dataset touched: features, training sets, versions, releases, predictions.

    For example flights/datasets/weather:2013-02-12, or flights/features/origin_weather:2013-02-12.
    """
    from mlops_assets.assets.reach import UnknownPartition, reach
    from mlops_assets.definitions import build_defs
    from mlops_assets.ml.impact import impact_of, impact_text

    here = deployment()
    asset, _, day = partition.partition(":")
    try:
        reached = reach(build_defs(settings=here.settings), asset, day or None)
    except UnknownPartition as error:
        raise click.BadParameter(str(error), param_hint="DATASET:DAY") from error
    kept = {name: here.tables.days(name) for name in reached if here.tables.version(name) is not None}
    if day and day not in kept.get(asset, [day]):
        days = kept[asset]
        has = f"it has {days[0]} to {days[-1]}" if days else "it has none"
        raise click.BadParameter(f"{asset} holds no rows of {day}: {has}", param_hint="DATASET:DAY")
    told = impact_of(asset, day or None, reached, kept, [record_of(here, u) for u in here.settings.use_cases])
    click.echo(to_json(told) if as_json else impact_text(told))


def record_of(here: "Deployment", use_case: UseCase) -> "UseCaseRecord":
    """What a use case has on record."""
    from mlops_assets.adapters.documents import manifest_of
    from mlops_assets.ml.impact import UseCaseRecord

    registry, name = here.registry, use_case.name
    files = here.artifacts.list(f"{name}/training/training_set")
    return UseCaseRecord(
        name=name,
        versions=[(v, manifest_of(registry, name, v.version)) for v in registry.versions(name)],
        history=here.promotions.all(name),
        training_days=sorted({path.split("/")[0] for path in files}),
        answers=answers_on_record(here, name),
    )


def answers_on_record(here: "Deployment", model: str) -> "pd.DataFrame":
    """Who answered how much on which day: columns day, arm, version, digest, answers."""
    import pandas as pd

    from mlops_assets.adapters.tables import TableMissing

    columns = ["day", "arm", "version", "digest", "answers"]
    try:
        return here.tables.read(f"{model}/releases/deployment", columns=columns)
    except TableMissing:
        return pd.DataFrame(columns=columns)
