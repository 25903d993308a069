"""The model card: what a model version is, in Hugging Face's ModelCard format, from facts alone.

Every sentence comes from the use case's facts, a document of the version, or the promotion history; where a fact is
missing, the card says so. Sections follow Mitchell et al. 2019, Model cards for model reporting, and the annotated
template of huggingface_hub.

A card is written twice. The registered one is frozen with the version, whose documents it names by digest; it cannot
know how the version was released. The released one is the same card written again with the history of now: it names
the registered one by digest, and goes stale whenever the version moves.

Here: the card's text. Belongs here: the wording of a section. Does not: gathering facts (``ml.card_facts``), the
metadata block (``ml.card_metadata``), HTML (``ml.card_pages``), pictures.
"""

from collections.abc import Mapping

from mlops_assets.contracts import Evaluation, TableVersion
from mlops_assets.ml.card_facts import BEESWARM, CALIBRATION, CARD, DEPENDENCE, IMPORTANCE, TECHNICAL, CardFacts
from mlops_assets.ml.card_metadata import family_of_facts, metadata_of, missing_in, title_of
from mlops_assets.ml.card_text import between, picture, table
from mlops_assets.ml.policy import persistence

SECTIONS = (
    "Model details",
    "Uses",
    "Limits",
    "Training data",
    "Training procedure",
    "Evaluation",
    "Explanations",
    "Monitoring",
    "Owners and sign-off",
    "Release history",
    "How to get it",
    "Sources",
)
TOP_FEATURES = 15


def write_card(facts: CardFacts) -> str:
    """The card as Markdown with its YAML metadata block. Equal facts give equal text."""
    sections = [f"## {name}\n\n{_WRITERS[name](facts)}" for name in SECTIONS]
    return f"---\n{metadata_of(facts)}---\n\n# {title_of(facts)}\n\n" + "\n\n".join(sections) + "\n"


def missing_sections(card: str) -> tuple[str, ...]:
    """What a complete card has and this one lacks: metadata keys, sections, sections without text. () is complete."""
    return missing_in(card, SECTIONS)


def _details(facts: CardFacts) -> str:
    manifest = facts.manifest
    fault, own = manifest.fault_injected, facts.use_case.segment
    rows: list[tuple[str, object]] = [
        ("Question", facts.use_case.question),
        *([] if own is None else [("Segment", f"decisions whose `{own.column}` is {own.value}, and no others")]),
        ("Kind", family_of_facts(facts).words.description),
        ("Digest of the bundle", f"`{manifest.model_digest}`"),
        ("Cut-off day", manifest.cutoff_day),
        ("Trained because", manifest.trained_because),
        ("Fault injected on purpose", fault if fault else "none"),
        ("Created", manifest.created_at),
        ("Code", f"commit `{manifest.code_commit}`" + (" with uncommitted changes" if manifest.code_dirty else "")),
        ("Lock of the environment", f"`{manifest.lock_digest}`"),
    ]
    return table(("Fact", "Value"), rows)


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
    tables = table(("Table", "Version", "Days"), [_table_row(pin) for pin in manifest.tables])
    asked = "" if facts.training_set is None else f"\n\nThe rows: {facts.training_set.query.text}"
    return (
        f"{manifest.training_rows} rows of {manifest.window_first_day} to {manifest.cutoff_day}, joined point in time "
        f"by service `{manifest.feature_service}` (digest `{manifest.feature_service_digest}`). "
        f"Digest of the training set: `{manifest.training_set_digest}`.{asked}\n\n{tables}"
    )


def _table_row(pin: TableVersion) -> tuple[object, ...]:
    days = "all" if pin.first_day is None else f"{pin.first_day} to {pin.last_day}"
    return pin.table, pin.version, days


def _procedure(facts: CardFacts) -> str:
    manifest = facts.manifest
    return (
        f"{family_of_facts(facts).words.choice} the days from {manifest.validation_first_day} on, held out in time "
        f"order; the released model was then fitted on all rows in the same way. The same rows give the same bytes on "
        f"any number of threads. Dagster run `{manifest.dagster_run_id}`, MLflow run `{manifest.mlflow_run_id}`."
        f"\n\n{table(('Parameter', 'Value'), sorted(manifest.params.items()))}"
    )


def _evaluation(facts: CardFacts) -> str:
    shown = facts.evaluation
    metrics = [(name, value, between(shown.intervals.get(name))) for name, value in shown.metrics.items()]
    gates = table(("Gate", "Passed", "Reason"), [(g.name, g.answer, g.reason) for g in shown.gates])
    meant = "" if shown.enforced else "\n\nThis was a dry run of the gates: they stopped nothing."
    return (
        f"On {shown.rows} rows of {shown.first_day} to {shown.last_day}, scored by a fit of the same recipe that never "
        f"saw those days. Intervals are of 95 %, with days as the observations.\n\n"
        f"{table(('Metric', 'This version', 'Interval'), metrics)}"
        f"{picture(CALIBRATION, 'calibration on held-out days', facts.documents)}"
        f"\n\n### Beside the champion\n\n{_beside_champion(shown)}"
        f"\n\n### Gates{meant}\n\n{gates}\n\n### Slices\n\n{_slices(facts)}"
    )


def _beside_champion(shown: Evaluation) -> str:
    if shown.champion_version is None:
        return "There was no champion at that time."
    champion = f"version {shown.champion_version}"
    if shown.compared_rows is None:
        return f"Champion was {champion}. Its figures on days that it was not trained on were not recorded."
    if not shown.compared_rows:
        return f"Champion was {champion}, trained on all of these days: they cannot compare the two."
    rows = [(name, value, shown.champion_metrics[name]) for name, value in shown.compared_metrics.items()]
    return (
        f"Both on the same {shown.compared_rows} of the {shown.rows} rows: those of the {shown.compared_days} days "
        f"that the champion, {champion}, was not trained on.\n\n{table(('Metric', 'This version', 'Champion'), rows)}"
    )


def _slices(facts: CardFacts) -> str:
    against = "the constant rate" if facts.evaluation.champion_version is None else "the champion"
    rows = [
        (name, int(s["rows"]), s.get("auc", ""), s["log_loss"], s["late_rate"], *_beside(s))
        for name, s in facts.evaluation.slices.items()
    ]
    header = (
        "Slice",
        "Rows",
        "AUC",
        "Log-loss",
        "Rate",
        f"Log-loss less {against}'s",
        "Interval",
        "Of rows",
        "Of days",
    )
    divisions = ", ".join(
        f"{d.name} by `{d.column}`" + (f" (yes from {d.at_least:g} on)" if d.at_least is not None else "")
        for d in facts.use_case.slices
    )
    said = (
        f"Divided by what is known at decision time: {divisions}. Rows, AUC, log-loss and rate are of all held-out days"
    )
    those = "" if facts.evaluation.champion_version is None else ", those that the champion was not trained on"
    return f"{said}; the difference is of as many rows and days as stand beside it{those}.\n\n{table(header, rows)}"


def _beside(measures: Mapping[str, float]) -> tuple[object, ...]:
    """Difference, interval, and the rows and days that they are of; empty where there is none."""
    if "difference" not in measures:
        return ("",) * 4
    rows = int(measures["compared_rows"]) if "compared_rows" in measures else "not recorded"
    return measures["difference"], between((measures["low"], measures["high"])), rows, int(measures["days"])


def _explanations(facts: CardFacts) -> str:
    told = facts.explanations
    top = list(told.mean_contribution.items())[:TOP_FEATURES]
    slices = [(name, ", ".join(f"{f} {share:.0%}" for f, share in top.items())) for name, top in told.slices.items()]
    return (
        f"{family_of_facts(facts).words.explanation}. Mean absolute contribution to the log-odds over "
        f"{told.rows} rows (expected value {told.expected_value:.4f}).\n\n{table(('Feature', 'Contribution'), top)}"
        f"{picture(IMPORTANCE, 'mean contribution of each feature', facts.documents)}"
        f"{picture(BEESWARM, 'contribution of each row', facts.documents)}"
        f"{picture(DEPENDENCE, 'contribution against value', facts.documents)}"
        f"\n\n### By slice\n\n{table(('Slice', 'Leading features and their shares'), slices)}"
        f"\n\n### Since the version before\n\n{_attribution_drift(facts)}"
    )


def _attribution_drift(facts: CardFacts) -> str:
    drift = facts.explanations.drift
    if drift is None:
        return "No version was champion before it."
    verdict = "They decide by other features" if drift.drifted else "They decide by much the same features"
    said = (
        f"{verdict}: on the same rows the shares of the features are {drift.distance:.3f} from those of version "
        f"{drift.against_version} (0 is equal, 1 is nothing in common); days alone move them by up to half of the "
        f"limit, {drift.limit:.3f}."
    )
    moved = [(name, f"{before:.1%}", f"{now:.1%}") for name, (before, now) in drift.moved.items()]
    shown = table(("Feature moved beyond its limit", "Share before", "Share now"), moved)
    return f"{said}\n\n{shown}" if moved else f"{said} No feature moved beyond its own limit."


def _monitoring(facts: CardFacts) -> str:
    rules = facts.use_case.monitoring
    drifted, days = persistence("data_drift", rules)
    return (
        f"Judged every day against the drift reference of this version. Inputs have drifted when the drift score is "
        f"above {facts.drift_limit:.3f}; {drifted} such days within {days} ask for a challenger, and so do "
        f"{rules.alarms_needed} within {rules.alarm_window_days} on which it performs worse than it should; at most "
        f"every {rules.retrain_cooldown_days} days. It is rolled back when its Brier score is worse than its "
        f"predecessor's by more than {rules.rollback_margin} on the same rows."
    )


def _owners(facts: CardFacts) -> str:
    owner, required = facts.use_case.owner, facts.use_case.release.sign_off
    owners = table(
        ("Role", "Owner"),
        [("data", owner.data), ("machine learning", owner.machine_learning), ("operations", owner.operations)],
    )
    if not required and not facts.signatures:
        return f"{owners}\n\nNobody's sign-off is asked for before it becomes champion."
    given = [(line.by, line.evidence.get("signed_as", ""), line.at, line.reason) for line in facts.signatures]
    missing = f"Missing: {', '.join(facts.unsigned)}." if facts.unsigned else "Nobody is missing."
    asked = f"Sign-off is asked of {', '.join(required)}. {missing}" if required else ""
    signed = table(("Signed by", "As", "At", "Reason"), given) if given else "Not signed."
    return f"{owners}\n\n{asked}\n\n{signed}"


def _history(facts: CardFacts) -> str:
    if not facts.transitions:
        return "Not released."
    rows = [(t.at, t.day, t.kind, t.from_arm or "", t.to_arm or "", t.by, t.reason) for t in facts.transitions]
    return table(("At", "Day", "Kind", "From", "To", "By", "Reason"), rows)


def _how_to_get_it(facts: CardFacts) -> str:
    version = "<version>" if facts.version is None else str(facts.version)
    return (
        f"`models:/{facts.use_case.name}/{version}` in the registry. The bundle holds "
        f"{family_of_facts(facts).words.file} and `signature.json`; nothing is pickled. Check the digest before use."
    )


def _sources(facts: CardFacts) -> str:
    as_registered: dict[str, str] = dict.fromkeys((CARD, TECHNICAL), ", as registered")
    rows = [
        (f"[{name}]({name}){as_registered.get(name, '')}", f"`{digest}`") for name, digest in facts.documents.items()
    ]
    said = "This card is written from these documents of the version, and from nothing else"
    return f"{said} but the use case's facts and the promotion history.\n\n{table(('Document', 'SHA-256'), rows)}"


_WRITERS = {
    "Model details": _details,
    "Uses": _uses,
    "Limits": _limits,
    "Training data": _training_data,
    "Training procedure": _procedure,
    "Evaluation": _evaluation,
    "Explanations": _explanations,
    "Monitoring": _monitoring,
    "Owners and sign-off": _owners,
    "Release history": _history,
    "How to get it": _how_to_get_it,
    "Sources": _sources,
}
