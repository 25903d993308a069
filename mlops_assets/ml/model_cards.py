"""The model card: what a model version is, in Hugging Face's ModelCard format, from facts alone.

Every sentence comes from the use case's facts, the manifest, the evaluation, the explanations or the promotion
history; where a fact is missing, the card says so. Sections follow Mitchell et al. 2019, Model cards for model
reporting, and the annotated template of huggingface_hub.

Here: the card's text and its validation. Belongs here: a fact that a reader of a card needs. Does not: computing facts,
rendering HTML, pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mlops_assets.contracts import Evaluation, Manifest, TableVersion, Transition, UseCase
from mlops_assets.ml.explanations import Explanations
from mlops_assets.ml.families import DEFAULT, Family, family_of

SECTIONS = (
    "Model details",
    "Uses",
    "Limits",
    "Training data",
    "Training procedure",
    "Evaluation",
    "Explanations",
    "Monitoring",
    "Release history",
    "How to get it",
)
METADATA = ("language", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index")
TOP_FEATURES = 15


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """Everything that a card may say."""

    use_case: UseCase
    manifest: Manifest
    evaluation: Evaluation
    explanations: Explanations
    drift_limit: float
    """Drift score above which the version's inputs count as drifted."""
    version: int | None = None
    """None before registration."""
    transitions: tuple[Transition, ...] = ()
    """The promotion history of this version."""


def write_card(facts: CardFacts) -> str:
    """The card as Markdown with its YAML metadata block. Equal facts give equal text.

    Raises ValueError when the evaluation is about other bytes than the manifest.
    """
    if facts.evaluation.model_digest != facts.manifest.model_digest:
        raise ValueError("the evaluation and the manifest are about different bundles")
    metadata = yaml.safe_dump(card_metadata(facts), sort_keys=False, allow_unicode=True, width=110)
    sections = [f"## {name}\n\n{_WRITERS[name](facts)}" for name in SECTIONS]
    return f"---\n{metadata}---\n\n# {_title(facts)}\n\n" + "\n\n".join(sections) + "\n"


def missing_sections(card: str) -> tuple[str, ...]:
    """What a complete card has and this one lacks: metadata keys, sections, sections without text. () is complete."""
    header, _, body = card.removeprefix("---\n").partition("\n---\n")
    if not card.startswith("---\n") or not body:
        return ("metadata", *SECTIONS)
    metadata = yaml.safe_load(header)
    written = _sections_of(body)
    missing_keys = [f"metadata: {key}" for key in METADATA if not metadata.get(key)]
    return (*missing_keys, *(name for name in SECTIONS if not written.get(name, "").strip()))


def card_metadata(facts: CardFacts) -> dict[str, Any]:
    """The metadata block that the Hugging Face hub reads."""
    evaluation, name = facts.evaluation, facts.use_case.name
    return {
        "language": "en",
        "library_name": _family(facts).library,
        "pipeline_tag": "tabular-classification",
        "tags": ["tabular-classification", name, facts.use_case.domain.name],
        "datasets": sorted({table.table for table in facts.manifest.tables}),
        "metrics": ["roc_auc", "brier_score", "log_loss"],
        "model-index": [
            {
                "name": _title(facts),
                "results": [
                    {
                        "task": {"type": "tabular-classification", "name": facts.use_case.question},
                        "dataset": {
                            "type": f"{name}/training/training_set",
                            "name": f"held-out days {evaluation.first_day} to {evaluation.last_day}",
                            "split": "held_out",
                        },
                        "metrics": [
                            {"type": kind, "name": key, "value": round(float(evaluation.metrics[key]), 6)}
                            for kind, key in (("roc_auc", "auc"), ("brier_score", "brier"), ("log_loss", "log_loss"))
                        ],
                    }
                ],
            }
        ],
    }


def _family(facts: CardFacts) -> Family:
    return family_of(str(facts.manifest.params.get("family", DEFAULT)))


def _title(facts: CardFacts) -> str:
    version = "unregistered" if facts.version is None else f"version {facts.version}"
    return f"{facts.use_case.name}, {version}"


def _details(facts: CardFacts) -> str:
    manifest, owner = facts.manifest, facts.use_case.owner
    fault = manifest.fault_injected
    rows: list[tuple[str, object]] = [
        ("Question", facts.use_case.question),
        ("Kind", _family(facts).words.description),
        ("Digest of the bundle", f"`{manifest.model_digest}`"),
        ("Cut-off day", manifest.cutoff_day),
        ("Trained because", manifest.trained_because),
        ("Fault injected on purpose", fault if fault else "none"),
        ("Created", manifest.created_at),
        ("Code", f"commit `{manifest.code_commit}`" + (" with uncommitted changes" if manifest.code_dirty else "")),
        ("Lock of the environment", f"`{manifest.lock_digest}`"),
        ("Owners", f"data {owner.data}, model {owner.machine_learning}, operations {owner.operations}"),
    ]
    return _table(("Fact", "Value"), rows)


def _uses(facts: CardFacts) -> str:
    lead = facts.use_case.decision_lead_minutes
    return (
        f"{facts.use_case.intended_use}\n\nDecided {lead} minutes ahead. Without a champion the service answers "
        f"{facts.use_case.fallback_score}. Any other use is out of scope."
    )


def _limits(facts: CardFacts) -> str:
    return "\n".join(f"- {limit}" for limit in facts.use_case.limits)


def _training_data(facts: CardFacts) -> str:
    manifest = facts.manifest
    tables = _table(("Table", "Version", "Days", "Digest"), [_table_row(table) for table in manifest.tables])
    return (
        f"{manifest.training_rows} rows of {manifest.window_first_day} to {manifest.cutoff_day}, joined point in time "
        f"by service `{manifest.feature_service}` (digest `{manifest.feature_service_digest}`). "
        f"Digest of the training set: `{manifest.training_set_digest}`.\n\n{tables}"
    )


def _table_row(table: TableVersion) -> tuple[object, ...]:
    days = "all" if table.first_day is None else f"{table.first_day} to {table.last_day}"
    return table.table, table.version, days, "not computed" if table.digest is None else f"`{table.digest[:12]}`"


def _procedure(facts: CardFacts) -> str:
    manifest = facts.manifest
    params = _table(("Parameter", "Value"), sorted(manifest.params.items()))
    return (
        f"{_family(facts).words.choice} the days from {manifest.validation_first_day} on, held out in time order; "
        f"the released model was then fitted on all rows in the same way. The same rows give the same bytes on any "
        f"number of threads. Dagster run `{manifest.dagster_run_id}`, MLflow run `{manifest.mlflow_run_id}`."
        f"\n\n{params}"
    )


def _evaluation(facts: CardFacts) -> str:
    evaluation = facts.evaluation
    metrics = _table(
        ("Metric", "This version", "Champion"),
        [(name, value, evaluation.champion_metrics.get(name, "")) for name, value in evaluation.metrics.items()],
    )
    gates = _table(
        ("Gate", "Passed", "Reason"), [(g.name, "yes" if g.passed else "NO", g.reason) for g in evaluation.gates]
    )
    slices = _table(
        ("Slice", "Rows", "AUC", "Log-loss", "Rate"),
        [(name, int(s["rows"]), s["auc"], s["log_loss"], s["late_rate"]) for name, s in evaluation.slices.items()],
    )
    return (
        f"On {evaluation.rows} rows of {evaluation.first_day} to {evaluation.last_day}, scored by a fit of the same "
        f"recipe that never saw those days. Champion at that time: {evaluation.champion_version or 'none'}.\n\n"
        f"{metrics}\n\n### Gates\n\n{gates}\n\n### Slices\n\n{slices}"
    )


def _explanations(facts: CardFacts) -> str:
    top = list(facts.explanations.mean_contribution.items())[:TOP_FEATURES]
    return (
        f"{_family(facts).words.explanation}. Mean absolute contribution to the log-odds over "
        f"{facts.explanations.rows} rows (expected value {facts.explanations.expected_value:.4f}).\n\n"
        + _table(("Feature", "Contribution"), top)
    )


def _monitoring(facts: CardFacts) -> str:
    rules = facts.use_case.monitoring
    return (
        f"Judged every day against the drift reference of this version. Inputs have drifted when the drift score is "
        f"above {facts.drift_limit:.3f}; {rules.alarms_needed} alarms within {rules.alarm_window_days} judged days ask "
        f"for a challenger, at most every {rules.retrain_cooldown_days} days. It is rolled back when its Brier score "
        f"is worse than its predecessor's by more than {rules.rollback_margin} on the same rows."
    )


def _history(facts: CardFacts) -> str:
    if not facts.transitions:
        return "Not released."
    rows = [(t.at, t.day, t.kind, t.from_arm or "", t.to_arm or "", t.by, t.reason) for t in facts.transitions]
    return _table(("At", "Day", "Kind", "From", "To", "By", "Reason"), rows)


def _how_to_get_it(facts: CardFacts) -> str:
    version = "<version>" if facts.version is None else str(facts.version)
    return (
        f"`models:/{facts.use_case.name}/{version}` in the registry. The bundle holds "
        f"{_family(facts).words.file} and `signature.json`; nothing is pickled. Check the digest before use."
    )


_WRITERS = {
    "Model details": _details,
    "Uses": _uses,
    "Limits": _limits,
    "Training data": _training_data,
    "Training procedure": _procedure,
    "Evaluation": _evaluation,
    "Explanations": _explanations,
    "Monitoring": _monitoring,
    "Release history": _history,
    "How to get it": _how_to_get_it,
}


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(value) for value in row) + " |" for row in rows)])


def _cell(value: object) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _sections_of(body: str) -> Mapping[str, str]:
    parts = ("\n" + body).split("\n## ")[1:]
    return {title.strip(): text for title, _, text in (part.partition("\n") for part in parts)}
