"""The card of a registered version as it is now: its documents from the registry, its life from the promotion history.

Here: fetching what ``ml.card_facts`` needs. Belongs here: reading a version for a card. Does not: wording, Dagster.
"""

from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.registry import Registry
from mlops_assets.contracts import UseCase
from mlops_assets.ml.card_facts import CardFacts, facts_of


class CardMissing(LookupError):
    """The version was registered without a document that a card needs."""


def version_facts(
    registry: Registry, promotions: Promotions, use_case: UseCase, version: int
) -> tuple[CardFacts, dict[str, bytes]]:
    """The facts of a version with its history of now, and its documents by file.

    Raises VersionMissing, RegistryCorrupt (a document is not what was registered), RegistryUnavailable, CardMissing.
    """
    names = registry.documents(use_case.name, version)
    documents = {name: registry.document(use_case.name, version, name) for name in names}
    try:
        return facts_of(use_case, documents, version, promotions.all(use_case.name)), documents
    except KeyError as error:
        raise CardMissing(f"{use_case.name} version {version} was registered without {error}: no card") from error
