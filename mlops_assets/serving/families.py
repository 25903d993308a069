"""Which models there are to serve: those of the configuration, and every registered one of a family's name.

Here: ``ask`` and ``members``. Belongs here: what a family's pattern means. Does not: which versions serve
(``serving.reconciler``), the registry's protocol (``adapters.registry``).
"""

import os
from collections.abc import Mapping, Sequence

import msgspec

from mlops_assets.adapters.registry import RegisteredModel, Registry
from mlops_assets.serving.configuration import ServedModel

FEW = 4
"""So many names are asked for one by one; of more, everything whose name begins as they all do."""


def ask(registry: Registry, models: Sequence[ServedModel]) -> Mapping[str, RegisteredModel]:
    """What a registry says of every model that is served, in few questions. Raises RegistryUnavailable."""
    if len(models) > FEW:
        return registry.models_at_once(os.path.commonprefix([facts.family or facts.name for facts in models]))
    told: dict[str, RegisteredModel] = {}
    for facts in models:
        if facts.family is None:
            told[facts.name] = registry.model(facts.name)
        else:
            told |= registry.models_at_once(facts.family)
    return told


def members(models: Sequence[ServedModel], known: Mapping[str, object]) -> list[ServedModel]:
    """The facts of each model, those of families among the names of ``known``; its own come before its family's."""
    found = {facts.name: facts for facts in models if facts.family is None}
    for facts in models:
        if facts.family is not None:
            mine = sorted(name for name in known if name.startswith(facts.family))
            found |= {name: msgspec.structs.replace(facts, name=name) for name in mine if name not in found}
    return list(found.values())
