"""Features of flights out of New York: what they mean, how long they hold, who answers for them.

Here: entities, feature views, the on-demand view and the feature service of the domain ``flights``. Belongs here:
descriptions, types, time to live, owners, tags; the asset graph and the model server are declared from these objects.
Does not: computing a value (``mlops_assets.ml.features``, ``mlops_assets.ml.on_demand``).

A snapshot of a view is taken on every full hour and holds what was known then. After three hours without a new one
the feed is broken, and an old value would be worse than none.
"""

from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.data_format import DeltaFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

TIME_TO_LIVE = timedelta(hours=3)
OWNER = "team:data"


def tags(missing_share_at_most: float) -> dict[str, str]:
    """Tags of a view. The bound is the share of a day's values beyond which something is wrong with its source: of the
    days of 2013 only that of a blizzard (9 February) is above."""
    return {"domain": "flights", "cadence": "hourly", "missing_share_at_most": str(missing_share_at_most)}


origin = Entity(
    name="origin",
    join_keys=["origin"],
    value_type=ValueType.STRING,
    description="Airport of departure: EWR, JFK or LGA",
    owner=OWNER,
)
carrier = Entity(
    name="carrier",
    join_keys=["carrier"],
    value_type=ValueType.STRING,
    description="Airline, by its two-letter code",
    owner=OWNER,
)
dest = Entity(
    name="dest",
    join_keys=["dest"],
    value_type=ValueType.STRING,
    description="Airport of destination",
    owner=OWNER,
)


def number(name: str, description: str, unit: str, when_missing: str = "null") -> Field:
    """A feature that is a number; missing where there was nothing to compute it from.

    ``when_missing`` says what a model gets then, in training and in the server alike: ``null`` (it learns what missing
    means), ``default:<number>``, or ``fail`` (no answer without it).
    """
    tags = {"unit": unit, "when_missing": when_missing}
    return Field(name=name, dtype=Float64, description=f"{description} ({unit})", tags=tags)


def snapshots(view: str) -> FileSource:
    """The table of a view's snapshots. The path is a table's name, resolved by the offline store."""
    return FileSource(
        name=f"{view}_snapshots",
        path=f"flights/features/{view}",
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        file_format=DeltaFormat(),
        description=f"Delta table flights/features/{view}: one row per key and full hour, one more for each correction",
        owner=OWNER,
    )


def trailing(statistics: dict[str, tuple[str, str]], windows: tuple[int, ...]) -> list[Field]:
    """One field per window (hours) and statistic."""
    return [
        number(f"{name}_{window}h", text.format(window=window), unit)
        for window in windows
        for name, (text, unit) in statistics.items()
    ]


ARRIVAL_DELAY = ("Mean arrival delay of the flights that landed in the last {window} h", "minutes")
LATE_SHARE = ("Share of the flights that landed in the last {window} h at least 15 minutes late", "share")
LOST_MINUTES = ("Mean arrival delay minus departure delay of the flights that landed in the last {window} h", "minutes")
LANDED_SHARE = (
    "Flights that landed in the last {window} h divided by those that by the schedule should have: low when flights "
    "are held or cancelled",
    "ratio",
)

origin_weather = FeatureView(
    name="origin_weather",
    entities=[origin],
    ttl=TIME_TO_LIVE,
    source=snapshots("origin_weather"),
    schema=[
        number("temp", "Temperature", "degrees Fahrenheit"),
        number("dewp", "Dew point", "degrees Fahrenheit"),
        number("humid", "Relative humidity", "percent"),
        number("wind_dir", "Where the wind comes from", "degrees"),
        number("wind_speed", "Wind", "miles per hour"),
        number("wind_gust", "Gusts; missing when there were none", "miles per hour"),
        number("precip", "Precipitation of the last hour", "inches"),
        number("pressure", "Pressure at sea level", "hectopascal"),
        number("visib", "Visibility", "miles"),
        number("precip_6h", "Precipitation of the last six hours", "inches"),
        number("pressure_change_3h", "Pressure now minus three hours ago", "hectopascal"),
    ],
    description="The weather at the airport of departure, as observed at the hour.",
    tags=tags(0.25),
    owner=OWNER,
)

origin_delays = FeatureView(
    name="origin_delays",
    entities=[origin],
    ttl=TIME_TO_LIVE,
    source=snapshots("origin_delays"),
    schema=trailing(
        {"mean_arr_delay": ARRIVAL_DELAY, "late_share": LATE_SHARE, "landed_share": LANDED_SHARE}, (1, 3, 24)
    ),
    description="How the flights from this airport of departure have fared lately; only what had landed by the hour.",
    tags=tags(0.2),
    owner=OWNER,
)

carrier_delays = FeatureView(
    name="carrier_delays",
    entities=[carrier],
    ttl=TIME_TO_LIVE,
    source=snapshots("carrier_delays"),
    schema=trailing(
        {"mean_arr_delay": ARRIVAL_DELAY, "late_share": LATE_SHARE, "landed_share": LANDED_SHARE}, (3, 24, 168)
    ),
    description="How the flights of this airline have fared lately; only what had landed by the hour.",
    tags=tags(0.22),
    owner=OWNER,
)

destination_delays = FeatureView(
    name="destination_delays",
    entities=[dest],
    ttl=TIME_TO_LIVE,
    source=snapshots("destination_delays"),
    schema=trailing(
        {"mean_arr_delay": ARRIVAL_DELAY, "mean_lost_minutes": LOST_MINUTES, "landed_share": LANDED_SHARE}, (3, 24)
    ),
    description="How the flights to this destination have fared lately; only what had landed by the hour.",
    tags=tags(0.35),
    owner=OWNER,
)


def sent(name: str, dtype: object, description: str, low: int | None = None, high: int | None = None) -> Field:
    """A field that the caller sends with every request."""
    bounds = {} if low is None else {"minimum": str(low), "maximum": str(high)}
    return Field(name=name, dtype=dtype, description=description, tags=bounds)


# A caller sends these, the join keys of the views, and what identifies the decision. Feast takes a name either as a
# join key or as request data, so the join keys are not repeated here.
decision = RequestSource(
    name="decision",
    schema=[
        sent("distance", Float64, "Distance between the airports (miles)", 10, 6000),
        sent("sched_dep_minute", Int64, "Scheduled departure (local minutes after midnight)", 0, 1439),
        sent("day_of_week", Int64, "Day of the week of the scheduled departure (1 is Monday)", 1, 7),
        sent("sched_elapsed_minutes", Int64, "Published block time (minutes)", 30, 900),
    ],
    description="What a caller says about the flight it asks about, besides airline, origin and destination.",
    tags={"identity": "flight_id", "flight_id": "Day, carrier with flight number, origin and destination"},
    owner=OWNER,
)


@on_demand_feature_view(
    sources=[decision],
    # Bare fields: Feast compares them with those it infers, and a description or a tag makes them unequal.
    schema=[Field(name="speed", dtype=Float64), Field(name="sched_arr_minute", dtype=Float64)],
    mode="pandas",
    description="What the published schedule implies, computed from the request.",
    tags={
        "domain": "flights",
        "cadence": "request",
        "speed": "Distance per minute of published block time (miles per minute)",
        "sched_arr_minute": "Scheduled arrival on the clock of the departure (minutes after midnight)",
    },
    owner=OWNER,
)
def schedule_features(request: pd.DataFrame) -> pd.DataFrame:
    """Feast's door to the one implementation that the server calls too."""
    import pandas as pd

    from mlops_assets.ml.on_demand import TRANSFORMATIONS

    numbers = request.select_dtypes("number")
    columns = TRANSFORMATIONS["schedule_features"]({name: numbers[name].to_numpy() for name in numbers.columns})
    return pd.DataFrame({name.removeprefix("schedule_features__"): values for name, values in columns.items()})


arrival_delay_v1 = FeatureService(
    name="arrival_delay_v1",
    features=[origin_weather, origin_delays, carrier_delays, destination_delays, schedule_features],
    description="Everything the arrival_delay model may look at, two hours before the scheduled departure.",
    tags={"use_case": "arrival_delay"},
    owner="team:machine-learning",
)
