"""The metadata block of a card, in the types of the Hugging Face hub, and whether a card can be read back.

Here: from facts to ``ModelCardData``, and the validation of a whole card without a network. Belongs here: whatever the
hub reads. Does not: the card's sections (``ml.model_cards``).
"""

from collections.abc import Sequence
from typing import Any

from mlops_assets.ml.card_facts import CardFacts
from mlops_assets.ml.card_text import sections_of
from mlops_assets.ml.families import DEFAULT, Family, family_of

REQUIRED = ("language", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model_name", "eval_results")
TASK = "tabular-classification"
REPORTED = (("roc_auc", "auc"), ("brier_score", "brier"), ("log_loss", "log_loss"))
"""The hub's name of a metric, and ours."""


def title_of(facts: CardFacts) -> str:
    """The name of the version; before it has one, its cut-off day and that the text is from before registration."""
    if facts.version is None:
        return f"{facts.use_case.name}, cut-off day {facts.manifest.cutoff_day}, text before registration"
    return f"{facts.use_case.name}, version {facts.version}"


def family_of_facts(facts: CardFacts) -> Family:
    """The family that made the model."""
    return family_of(str(facts.manifest.params.get("family", DEFAULT)))


def metadata_of(facts: CardFacts) -> str:
    """The metadata block as YAML, without its fences."""
    from huggingface_hub import ModelCardData

    name = facts.use_case.name
    data = ModelCardData(
        language="en",
        library_name=family_of_facts(facts).library,
        pipeline_tag=TASK,
        tags=[TASK, name, facts.use_case.domain.name],
        datasets=sorted({table.table for table in facts.manifest.tables}),
        metrics=[kind for kind, _ in REPORTED],
        model_name=title_of(facts),
        eval_results=_results(facts),
        # Not of the hub's own vocabulary; it keeps what it does not know.
        model_digest=facts.manifest.model_digest,
        training_set_digest=facts.manifest.training_set_digest,
    )
    return data.to_yaml(line_break="\n") + "\n"


def _results(facts: CardFacts) -> list[Any]:
    from huggingface_hub import EvalResult

    evaluation = facts.evaluation
    return [
        EvalResult(
            task_type=TASK,
            task_name=facts.use_case.question,
            dataset_type=f"{facts.use_case.name}/training/training_set",
            dataset_name=f"held-out days {evaluation.first_day} to {evaluation.last_day}",
            dataset_split="held_out",
            dataset_revision=facts.manifest.training_set_digest,
            metric_type=kind,
            metric_name=name,
            metric_value=round(float(evaluation.metrics[name]), 6),
        )
        for kind, name in REPORTED
    ]


def missing_in(card: str, sections: Sequence[str]) -> tuple[str, ...]:
    """What a complete card has and this one lacks: metadata, sections, sections without text. () is complete.

    Reads the card as the hub's client does; nothing is sent anywhere.
    """
    from huggingface_hub import ModelCard

    if not card.startswith("---\n"):
        return ("metadata", *sections)
    try:
        parsed = ModelCard(card)
    except ValueError as error:
        return (f"metadata: {error}", *sections)
    lacking = [f"metadata: {key}" for key in REQUIRED if not getattr(parsed.data, key, None)]
    written = sections_of(parsed.text)
    return (*lacking, *(name for name in sections if not written.get(name, "").strip()))
