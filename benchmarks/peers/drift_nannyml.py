"""NannyML's UnivariateDriftCalculator with its defaults: an alert in any column.

Jensen-Shannon distance of each chunk to the reference, three standard deviations of the reference's own chunks above
their mean. A chunk is as many days as the window: every window and every run of as many days of the reference gets
a day of its own in a made-up calendar. Run with NML_DISABLE_USAGE_LOGGING in the environment.
"""

import time
import warnings

import nannyml
import pandas as pd
from drift_windows import CATEGORIES, COLUMNS, WINDOWS, leave, reference

warnings.simplefilter("ignore")
BATCH, TIME = 50, "made_up_day"
known = reference()
days = sorted(known["day"].unique())
calculators = {}


def stamped(rows: pd.DataFrame, number: pd.Series | int) -> pd.DataFrame:
    return rows.assign(**{TIME: pd.Timestamp("2000-01-01") + pd.to_timedelta(number, unit="D")})


def calculator(length: int) -> nannyml.UnivariateDriftCalculator:
    if length not in calculators:
        run = {day: position // length for position, day in enumerate(days)}
        made = nannyml.UnivariateDriftCalculator(
            column_names=COLUMNS, treat_as_categorical=CATEGORIES, timestamp_column_name=TIME, chunk_period="D"
        )
        whole = known[known["day"].map(run) < len(days) // length]
        calculators[length] = made.fit(stamped(whole, whole["day"].map(run)))
    return calculators[length]


def flags(batch: list[int], length: int) -> list[bool]:
    rows = pd.concat([stamped(pd.read_parquet(WINDOWS[n]), place) for place, n in enumerate(batch)], ignore_index=True)
    result = calculator(length).calculate(rows).filter(period="analysis")
    alerts = result.to_df().xs("alert", axis=1, level=-1)
    return alerts.any(axis=1).tolist()


lengths: dict[int, list[int]] = {}
for number, window in enumerate(WINDOWS):
    length = pd.read_parquet(window, columns=["day"])["day"].nunique()
    lengths.setdefault(length, []).append(number)
answers: dict[int, dict] = {}
for length, numbers in lengths.items():
    for batch in (numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH)):
        began = time.perf_counter()
        found = flags(batch, length)
        each = (time.perf_counter() - began) / len(batch)
        answers |= {n: {"flagged": bool(flag), "error": None, "seconds": each}
                    for n, flag in zip(batch, found, strict=True)}  # fmt: skip
leave([answers[number] for number in range(len(WINDOWS))])
