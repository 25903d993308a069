"""The schedules: a challenger trained whatever drift says, and the nightly upkeep of the tables.

Here: training by the calendar, upkeep. Belongs here: triggers that look at a clock. Does not: triggers that look at
data.

Cron looks at the wall, the use case's calendar may be a replay: the training schedule looks every morning and asks
whether the newest version is as old, in days of the calendar, as ``ml.policy.due_after`` allows.
"""

from datetime import date
from typing import Any

import dagster as dg

from mlops_assets.assets.address import DATASETS, MODELS, automation, key
from mlops_assets.automation.walk import last_day
from mlops_assets.contracts import Domain, UseCase
from mlops_assets.ml.policy import due_after


def training_schedule(use_case: UseCase, job: Any) -> dg.ScheduleDefinition:
    """Every morning: train on the data so far if the newest version has grown too old."""

    @dg.schedule(
        cron_schedule="0 6 * * *",
        name=automation(use_case, "calendar"),
        job=job,
        execution_timezone=use_case.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Trains a challenger on {use_case.monitoring.retrain_growth:.0%} more data, and every "
        f"{use_case.monitoring.retrain_every_days} days at least, whatever drift says.",
    )
    def calendar(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        landed = last_day(context.instance, key(use_case.domain, DATASETS, "landing"))
        trained = last_day(context.instance, key(use_case, MODELS, "registered_version"))
        if landed is None or trained is None:
            return dg.SkipReason("nothing landed or nothing trained yet: the feed starts the first training")
        age = (date.fromisoformat(landed) - date.fromisoformat(trained)).days
        if age < (due := due_after(use_case.domain.first_day, trained, use_case.monitoring)):
            known = f"the newest version knows the data up to {trained}, {age} days before {landed}"
            return dg.SkipReason(f"{known}; it is old after {due}")
        return dg.RunRequest(run_key=f"{use_case.name}/calendar/{landed}", partition_key=landed)

    return calendar


def upkeep_schedule(domain: Domain, job: Any) -> dg.ScheduleDefinition:
    """Every night: merge small files and delete old versions, in the hours in which nobody flies."""
    return dg.ScheduleDefinition(
        name=automation(domain, "nightly"),
        job=job,
        cron_schedule="30 3 * * *",
        execution_timezone=domain.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Keeps tables and the server's log small: merges files, deletes old versions that no registered "
        "model needs, and answers that lie in a table.",
    )
