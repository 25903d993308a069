"""The dataset verdict of Evidently's DataDriftPreset with its defaults: drift when half of the columns drift.

With more than 1,000 rows of reference a number drifts at a normed Wasserstein distance of 0.1, a category at a
Jensen-Shannon distance of 0.1. Asked is the preset's first metric, which is the verdict; the others draw a picture of
each column and take ten times as long. Run with DO_NOT_TRACK in the environment.
"""

import pandas as pd
from drift_windows import CATEGORIES, NUMBERS, answer_each, reference
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

ROWS = 10_000
definition = DataDefinition(numerical_columns=NUMBERS, categorical_columns=CATEGORIES)
known = Dataset.from_pandas(reference(ROWS), data_definition=definition)


class VerdictOnly(DataDriftPreset):
    def generate_metrics(self, context: object) -> list:
        return super().generate_metrics(context)[:1]

    def render(self, context: object, child_widgets: object = None) -> list:
        return []


def drifted(rows: pd.DataFrame) -> bool:
    preset = VerdictOnly()
    snapshot = Report([preset]).run(Dataset.from_pandas(rows, data_definition=definition), known)
    return float(snapshot.dict()["metrics"][0]["value"]["share"]) >= preset.drift_share


answer_each(drifted)
