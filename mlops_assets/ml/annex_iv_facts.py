"""What the records say under each point of Annex IV: paragraphs, each with the record it came from.

Here: one function per group of points, facts in, (text, source) out. Belongs here: the wording of a fact. Does not:
the points (``ml.annex_iv``), anything a person must judge.

A source is a document of the version with a field (``manifest.json#code_commit``), a fact of the use case
(``use_cases#intended_use``), or the promotion history.
"""

from collections.abc import Mapping

from mlops_assets.contracts import Arm, Evaluation, Release
from mlops_assets.ml.card_facts import EVALUATION, EXPLANATIONS, MANIFEST, TRAINING_SET, CardFacts
from mlops_assets.ml.card_metadata import family_of_facts
from mlops_assets.ml.policy import persistence
from mlops_assets.ml.references import FACTS_FILE

HISTORY = "promotion history: mlops history"
Paragraphs = list[tuple[str, str]]


def purpose(facts: CardFacts) -> Paragraphs:
    """1(a)"""
    shown = facts.evaluation
    this = f"This is version {facts.version}" if facts.version else "This text was written before registration"
    before = f"version {shown.champion_version}" if shown.champion_version else "no version"
    return [
        (facts.use_case.intended_use, "use_cases#intended_use"),
        (f"{this}; when it was made, {before} was champion.",
         f"{EVALUATION}#champion_version"),
    ]  # fmt: skip


def access(facts: CardFacts) -> Paragraphs:
    """1(b), 1(d)"""
    manifest = facts.manifest
    return [
        ("It is asked over HTTP (`POST /predict`, JSON) and answers with a probability, the version and its digest.",
         f"{MANIFEST}#model_digest"),
        (f"Features come from the feature store, service `{manifest.feature_service}`.", f"{MANIFEST}#feature_service"),
    ]  # fmt: skip


def software(facts: CardFacts) -> Paragraphs:
    """1(c)"""
    manifest = facts.manifest
    dirty = " with uncommitted changes" if manifest.code_dirty else ""
    return [
        (f"Code: commit `{manifest.code_commit}`{dirty}.", f"{MANIFEST}#code_commit"),
        (f"Every package at a fixed version with hashes: `requirements.lock`, SHA-256 `{manifest.lock_digest}`. An "
         "update is a new lock, and a new version of the model trained under it.", f"{MANIFEST}#lock_digest"),
    ]  # fmt: skip


def instructions(facts: CardFacts) -> Paragraphs:
    """1(h)"""
    lead, fallback = facts.use_case.decision_lead_minutes, facts.use_case.fallback_score
    return [
        (f"Ask {lead} minutes ahead. Any other use than the intended one is out of scope.",
         "use_cases#decision_lead_minutes"),
        (f"Without a champion the service answers {fallback} and says so.", "use_cases#fallback_score"),
        *((limit, "use_cases#limits") for limit in facts.use_case.limits),
    ]  # fmt: skip


def interpretation(facts: CardFacts) -> Paragraphs:
    """1(g)"""
    return [
        ("With `?explain=true` every answer carries its reasons: the features that moved it most, whose contributions "
         f"add up to the model's margin. {family_of_facts(facts).words.explanation}.", EXPLANATIONS),
        ("Dagster's pages show the card, the evaluation and every day's monitors.", "model card"),
    ]  # fmt: skip


def development(facts: CardFacts) -> Paragraphs:
    """2(a)"""
    manifest = facts.manifest
    return [
        (f"{family_of_facts(facts).words.description[:1].upper()}{family_of_facts(facts).words.description[1:]}. No "
         "pre-trained system was used.", f"{MANIFEST}#params"),
        (f"{family_of_facts(facts).words.choice} the days from {manifest.validation_first_day} on; the released model "
         "was then fitted on all rows in the same way.", f"{MANIFEST}#validation_first_day"),
        (f"It was trained because: {manifest.trained_because}.", f"{MANIFEST}#trained_because"),
    ]  # fmt: skip


def algorithm(facts: CardFacts) -> Paragraphs:
    """2(b)"""
    params = ", ".join(f"{name} {value}" for name, value in sorted(facts.manifest.params.items()))
    top = ", ".join(list(facts.explanations.mean_contribution)[:5])
    return [
        (f"The question: {facts.use_case.question} The answer is a probability; training minimises the log-loss.",
         "use_cases#question"),
        (f"Parameters: {params}.", f"{MANIFEST}#params"),
        (f"What moves its answers most: {top}.", f"{EXPLANATIONS}#mean_contribution"),
    ]  # fmt: skip


def architecture(facts: CardFacts) -> Paragraphs:
    """2(c)"""
    manifest = facts.manifest
    return [
        ("One asset graph: datasets, features, training set, model, evaluation, card, registry, server, traffic, "
         f"monitoring, remediation. This version came out of Dagster run `{manifest.dagster_run_id}` (MLflow run "
         f"`{manifest.mlflow_run_id}`).", f"{MANIFEST}#dagster_run_id"),
    ]  # fmt: skip


def data_sheet(facts: CardFacts) -> Paragraphs:
    """2(d)"""
    manifest = facts.manifest
    pins = "; ".join(f"{pin.table} version {pin.version}" for pin in manifest.tables)
    said = [
        (f"{manifest.training_rows} rows of {manifest.window_first_day} to {manifest.cutoff_day}, frozen, SHA-256 "
         f"`{manifest.training_set_digest}`.", f"{MANIFEST}#training_set_digest"),
        (f"Joined point in time from {pins}.", f"{MANIFEST}#tables"),
    ]  # fmt: skip
    if facts.training_set is not None:
        said.append((f"Selection and label: {facts.training_set.query.text}", f"{TRAINING_SET}#query"))
    said.append(("Rows that break their dataset's contract are quarantined with the reason.", "datasets' contracts"))
    return said


def oversight(facts: CardFacts) -> Paragraphs:
    """2(e)"""
    owner, required = facts.use_case.owner, facts.use_case.release.sign_off
    asked = f"It needs the sign-off of {', '.join(required)}" if required else "No person's sign-off is asked for"
    given = "; ".join(f"{line.by}: {line.reason}" for line in facts.signatures) or "none"
    return [
        (f"Owners: data {owner.data}, model {owner.machine_learning}, operations {owner.operations}.",
         "use_cases#owner"),
        (f"{asked} before it becomes champion. Given: {given}.", HISTORY),
        ("An operator can promote, override and roll back at any time (`mlops promote`, `override`, `rollback`); each "
         "intervention is recorded with name and reason.", HISTORY),
    ]  # fmt: skip


def pre_determined_changes(facts: CardFacts) -> Paragraphs:
    """2(f)"""
    rules, release = facts.use_case.monitoring, facts.use_case.release
    drifted, days = persistence("data_drift", rules)
    return [
        (f"It is trained again on {rules.retrain_growth:.0%} more data, every {rules.retrain_every_days} days at "
         f"least, and when its performance is in alarm on {rules.alarms_needed} of {rules.alarm_window_days} days or "
         f"its inputs on {drifted} of {days}, at most every {rules.retrain_cooldown_days} days.",
         "use_cases#monitoring"),
        (f"The way of a version: {len(facts.evaluation.gates)} gates, {release.shadow_days} full days in shadow, "
         f"{release.canary_days} in canary ({_shares(release)} of the traffic), each beside the champion; where there "
         "is none to stand beside, from the gates straight to champion. An operator can go round all of it "
         "(`mlops promote`, `mlops override`).",
         "use_cases#release"),
        (f"The gates of this version: {gates_told(facts.evaluation)}.", f"{EVALUATION}#gates"),
        (_way(facts), HISTORY),
    ]  # fmt: skip


def _shares(release: Release) -> str:
    """The shares that a canary answers, one after the other."""
    return ", ".join(f"{step.basis_points / 100:g} %" for step in release.canary_steps)


def gates_told(shown: Evaluation) -> str:
    """How many gates passed; which failed and why, which had nothing to judge by, and whether they could stop it."""
    failed = [f"{gate.name} ({gate.reason})" for gate in shown.gates if not gate.passed]
    unjudged = [gate.name for gate in shown.gates if gate.passed and not gate.judged]
    parts = [f"{len(shown.gates) - len(failed) - len(unjudged)} of {len(shown.gates)} passed"]
    parts += [f"failed: {', '.join(failed)}"] if failed else []
    parts += [f"not judged: {', '.join(unjudged)}"] if unjudged else []
    return "; ".join([*parts, *([] if shown.enforced else ["a dry run: they stopped nothing"])])


def _way(facts: CardFacts) -> str:
    """Every arm that the version entered or left, and what it skipped on the way in."""
    told, been = [], set()
    for line in facts.transitions:
        if line.from_arm is None and line.to_arm is None and line.kind != "refused":
            continue
        notes = []
        if line.kind == "override":
            notes.append("round the gates")
        # Who comes back, as after a rollback, was told of the first time.
        before = () if line.to_arm in been else _BEFORE.get(line.to_arm or "", ())
        if skipped := [arm for arm in before if arm not in been]:
            notes.append(f"without {' and '.join(skipped)}")
        been.add(line.to_arm)
        where = f" to {line.to_arm}" if line.to_arm else f" out of {line.from_arm}" if line.from_arm else ""
        told.append(
            f"{line.day} {line.kind}{where}{''.join(f', {note}' for note in notes)}, by {line.by}: {line.reason}"
        )
    return f"The way of this version: {'; '.join(told)}." if told else "This version has entered no arm of the traffic."


_BEFORE: Mapping[str, tuple[str, ...]] = {Arm.CANARY: (Arm.SHADOW,), Arm.CHAMPION: (Arm.SHADOW, Arm.CANARY)}
"""Arm -> the arms that come before it on the way of a version."""


def validation(facts: CardFacts) -> Paragraphs:
    """2(g)"""
    shown = facts.evaluation
    worst = sorted(shown.slices.items(), key=lambda item: -item[1]["log_loss"])[:3]
    told = ", ".join(f"{name} ({s['log_loss']:.3f} on {int(s['rows'])} rows)" for name, s in worst)
    return [
        (f"Validated on {shown.rows} rows of {shown.first_day} to {shown.last_day}, later than every row of the fit "
         f"that scored them: {measured(facts)}.", f"{EVALUATION}#metrics"),
        (f"Gates: {', '.join(g.name for g in shown.gates)}. Of them {gates_told(shown)}.", f"{EVALUATION}#gates"),
        (f"{len(shown.slices)} slices were looked at apart. Highest log-loss: {told or 'none'}.",
         f"{EVALUATION}#slices"),
    ]  # fmt: skip


def measured(facts: CardFacts) -> str:
    """The metrics in words, with their intervals."""
    shown = facts.evaluation
    parts = []
    for name, value in shown.metrics.items():
        ends = shown.intervals.get(name)
        parts.append(f"{name} {value:.4f}" + (f" ({ends[0]:.4f} to {ends[1]:.4f})" if ends else ""))
    return ", ".join(parts)


def security(facts: CardFacts) -> Paragraphs:
    """2(h)"""
    return [
        (f"The bytes are named by SHA-256 `{facts.manifest.model_digest}` in evaluation, registry, card, server and "
         "every logged answer; release and server refuse any others. Nothing is ever unpickled.",
         f"{MANIFEST}#model_digest"),
    ]  # fmt: skip


def accuracy(facts: CardFacts) -> Paragraphs:
    """3"""
    return [
        (f"Overall: {measured(facts)}.", f"{EVALUATION}#metrics"),
        *((limit, "use_cases#limits") for limit in facts.use_case.limits),
        (f"Its inputs count as drifted when the drift score is above {facts.drift_limit:.3f}.", FACTS_FILE),
    ]


def metrics_chosen(facts: CardFacts) -> Paragraphs:
    """4"""
    gates = facts.use_case.gates
    return [
        ("Log-loss and Brier score are proper scoring rules: only the true probability is best. AUC tells the ranking, "
         "the calibration error whether a probability may be taken at its word. Days are the observations of every "
         "interval, because one storm delays everybody.", f"{EVALUATION}#intervals"),
        (f"Asked for: AUC at least {gates.min_auc}, log-loss at most {gates.max_log_loss_ratio} of the constant "
         f"rate's, calibration error at most {gates.max_calibration_error}.", "use_cases#gates"),
    ]  # fmt: skip


def changes(facts: CardFacts) -> Paragraphs:
    """6"""
    lines = [f"{t.day} {t.kind} by {t.by}: {t.reason}" for t in facts.transitions]
    return [("; ".join(lines) + "." if lines else "Not registered yet: nothing has happened to it.", HISTORY)]


def monitoring(facts: CardFacts) -> Paragraphs:
    """9"""
    rules = facts.use_case.monitoring
    return [
        ("Every day of traffic is judged: data contract, feature skew, drift of inputs, scores and labels, label "
         "sanity, performance with late labels, estimated performance before them.", "use_cases#monitoring"),
        (f"It is rolled back when its Brier score is worse than its predecessor's by more than "
         f"{rules.rollback_margin} on the same rows.", "use_cases#monitoring"),
    ]  # fmt: skip
