"""What a bad day of data touched: features, training sets, versions, their time in the traffic, and the answers.

Here: how the graph's reach, manifests, history and the log of who answered are put together. Belongs here: questions
about what became of data. Does not: fetching those facts, the graph (``assets.reach``).

The reach says what may depend on the day; manifests say what was really read, and the log what was really answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mlops_assets.contracts import Arm, Manifest, ModelVersion, Transition, to_plain
from mlops_assets.ml.tenures import tenures


@dataclass(frozen=True, kw_only=True)
class UseCaseRecord:
    """What one use case has on record."""

    name: str
    versions: Sequence[tuple[ModelVersion, Manifest]]
    history: Sequence[Transition]
    training_days: Sequence[str]
    """Cut-off days of the training sets that exist."""
    answers: pd.DataFrame
    """Columns day, arm, version, digest, answers: who answered how much on which day."""


def impact_of(
    asset: str, day: str | None, reach: Mapping[str, Sequence[str]], kept: Mapping[str, Sequence[str]], records: Any
) -> dict[str, Any]:
    """Everything that a day of a dataset touched.

    ``reach`` is asset -> days that depend on it, ``kept`` is table -> days that have rows, ``records`` holds a
    UseCaseRecord for each use case.
    """
    features = {
        name: sorted({*days} & {*kept.get(name, ())})
        for name, days in reach.items()
        if "/features/" in name and name in kept
    }
    served = {day for name, days in reach.items() if name.endswith("/features/online_store") for day in days}
    return {
        "dataset": asset,
        "partition": day,
        "features": features,
        "use_cases": {record.name: _touched(record, asset, reach, served) for record in records},
    }


def _touched(record: UseCaseRecord, asset: str, reach: Mapping[str, Sequence[str]], served: set[str]) -> dict[str, Any]:
    may = set(reach.get(f"{record.name}/training/training_set", ()))
    versions = [_version(record, v, m, reach) for v, m in record.versions if _reads(m, reach)]
    numbers = [entry["version"] for entry in versions]
    rows = record.answers
    by_model, by_features = rows["version"].isin(numbers), rows["day"].isin(served)
    return {
        "training_sets": [day for day in record.training_days if day in may],
        "versions": versions,
        "predictions": {
            "all": answers_of(rows[by_model | by_features]),
            "by_a_model_that_learnt_from_it": answers_of(rows[by_model]),
            "from_features_made_of_it": answers_of(rows[by_features]),
        },
    }


def _version(
    record: UseCaseRecord, version: ModelVersion, manifest: Manifest, reach: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    stays = [stay for arm in Arm for stay in tenures(record.history, arm) if stay.version == version.version]
    rows = record.answers
    return {
        "version": version.version,
        "digest": version.digest,
        "cutoff_day": version.cutoff_day,
        "aliases": list(version.aliases),
        "training_set_digest": manifest.training_set_digest,
        "read": _reads(manifest, reach),
        "releases": [
            {k: v for k, v in to_plain(stay).items() if k in ("arm", "from_day", "until_day", "by", "ended_as")}
            for stay in stays
        ],
        "predictions": answers_of(rows[rows["version"] == version.version]),
    }


def _reads(manifest: Manifest, reach: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The pinned tables of a manifest that hold touched days, with those days."""
    found = []
    for pin in manifest.tables:
        first, last = pin.first_day or "", pin.last_day or "9999"
        days = [day for day in reach.get(pin.table, ()) if first <= day <= last]
        if days:
            found.append({"table": pin.table, "version": pin.version, "first_day": days[0], "last_day": days[-1]})
    return found


def answers_of(rows: pd.DataFrame) -> dict[str, Any]:
    """How many answers, on how many days, by which version and digest, of rows with day, arm, version, digest, answers.

    The fallback, which has no version, counts under ``none``.
    """
    if rows.empty:
        return {"answers": 0, "days": 0, "first_day": None, "last_day": None, "by_version": []}
    keys = rows.assign(version=[_number(v) for v in rows["version"]], digest=rows["digest"].fillna("none"))
    groups = keys.groupby(["version", "digest"], sort=True)
    return {
        **_span(keys),
        "by_version": [{"version": version, "digest": digest, **_span(group)} for (version, digest), group in groups],
    }


def _span(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "answers": int(rows["answers"].sum()),
        "days": int(rows["day"].nunique()),
        "first_day": str(rows["day"].min()),
        "last_day": str(rows["day"].max()),
    }


def _number(version: Any) -> str:
    return "none" if pd.isna(version) else str(int(version))


def impact_text(impact: Mapping[str, Any]) -> str:
    """The same as an indented tree for a terminal."""
    where = impact["dataset"] + (f":{impact['partition']}" if impact["partition"] else "")
    lines = [where, "├─ features"]
    lines += [f"│  ├─ {name}  {_days(days)}" for name, days in impact["features"].items()] or ["│  └─ none"]
    for name, told in impact["use_cases"].items():
        lines.append(f"└─ {name}")
        lines.append(f"   ├─ training sets  {_days(told['training_sets'])}")
        lines += [line for version in told["versions"] for line in _version_lines(version)] or ["   ├─ no version"]
        lines.append("   └─ predictions")
        lines += [f"      ├─ {key.replace('_', ' '):<32} {_answers(v)}" for key, v in told["predictions"].items()]
    return "\n".join(lines)


def _version_lines(version: Mapping[str, Any]) -> list[str]:
    stays = [f"{s['arm']} {s['from_day']} to {s['until_day'] or 'now'}" for s in version["releases"]]
    tables = [f"{r['table']} v{r['version']} ({r['first_day']} to {r['last_day']})" for r in version["read"]]
    return [
        f"   ├─ version {version['version']}  {version['digest'][:16]}  up to {version['cutoff_day']}  "
        f"{' '.join(version['aliases'])}".rstrip(),
        f"   │  ├─ read      {', '.join(tables)}",
        f"   │  ├─ released  {'; '.join(stays) or 'never'}",
        f"   │  └─ answered  {_answers(version['predictions'])}",
    ]


def _days(days: Sequence[str]) -> str:
    if not days:
        return "none"
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"


def _answers(told: Mapping[str, Any]) -> str:
    if not told["answers"]:
        return "none"
    by = ", ".join(f"v{entry['version']} {entry['answers']:,}" for entry in told["by_version"])
    return f"{told['answers']:,} on {told['days']} days, {told['first_day']} to {told['last_day']} ({by})"
