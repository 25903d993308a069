"""What a card may say: the facts of a version, gathered from its documents and from the promotion history.

Here: ``CardFacts`` and how documents become facts. Belongs here: a fact that a reader of a card needs. Does not:
wording (``ml.model_cards``, ``ml.annex_iv``), fetching documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlops_assets.contracts import Evaluation, Manifest, TrainingSetManifest, Transition, UseCase, from_json
from mlops_assets.ml.bundles import digest_of
from mlops_assets.ml.explanations import Explanations
from mlops_assets.ml.references import FACTS_FILE, SAMPLE_FILE, from_files
from mlops_assets.ml.sign_offs import missing_sign_offs, sign_offs

MANIFEST, TRAINING_SET = "manifest.json", "training_set.json"
EVALUATION, EXPLANATIONS = "evaluation.json", "explanations.json"
CALIBRATION, IMPORTANCE = "calibration.png", "importance.png"
BEESWARM, DEPENDENCE = "beeswarm.png", "dependence.png"
PICTURES = (CALIBRATION, IMPORTANCE, BEESWARM, DEPENDENCE)
CARD, TECHNICAL = "card.md", "annex_iv.md"
SOURCES = (MANIFEST, TRAINING_SET, EVALUATION, EXPLANATIONS, FACTS_FILE, SAMPLE_FILE, *PICTURES)
"""Documents that a card is written from; each stands in it with its digest."""


class FactsDisagree(ValueError):
    """Two documents are about different bundles, or one of them cannot be read."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """Everything that a card may say."""

    use_case: UseCase
    manifest: Manifest
    evaluation: Evaluation
    explanations: Explanations
    drift_limit: float
    """Drift score above which the version's inputs count as drifted."""
    training_set: TrainingSetManifest | None = None
    version: int | None = None
    """None before registration."""
    transitions: tuple[Transition, ...] = ()
    """The promotion history of this version."""
    documents: Mapping[str, str] = field(default_factory=dict)
    """File -> SHA-256, of every document that the facts come from, and of the registered cards."""

    @property
    def signatures(self) -> tuple[Transition, ...]:
        """The sign-offs under these bytes."""
        return sign_offs(self.transitions, self.version or 0, self.manifest.model_digest)

    @property
    def unsigned(self) -> tuple[str, ...]:
        """Who must still sign."""
        required = self.use_case.release.sign_off
        return missing_sign_offs(required, self.transitions, self.version or 0, self.manifest.model_digest)


def facts_of(
    use_case: UseCase,
    documents: Mapping[str, bytes],
    version: int | None = None,
    history: Sequence[Transition] = (),
) -> CardFacts:
    """The facts in a version's documents (SOURCES, by file; pictures and cards count by their digests).

    Raises FactsDisagree when the evaluation is about other bytes than the manifest, KeyError for a missing document.
    """
    manifest = from_json(Manifest, documents[MANIFEST])
    evaluation = from_json(Evaluation, documents[EVALUATION])
    if evaluation.model_digest != manifest.model_digest:
        raise FactsDisagree("the evaluation and the manifest are about different bundles")
    frozen = documents.get(TRAINING_SET)
    reference = from_files({name: documents[name] for name in (FACTS_FILE, SAMPLE_FILE)})
    return CardFacts(
        use_case=use_case,
        manifest=manifest,
        evaluation=evaluation,
        explanations=from_json(Explanations, documents[EXPLANATIONS]),
        drift_limit=reference.facts.inputs.limit,
        training_set=None if frozen is None else from_json(TrainingSetManifest, frozen),
        version=version,
        transitions=tuple(line for line in history if line.version == version),
        documents={name: digest_of(content) for name, content in sorted(documents.items())},
    )
