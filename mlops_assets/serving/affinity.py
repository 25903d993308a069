"""Which worker answers for which model.

Here: ``model_guessed`` and ``first_with_room``. Belongs here: pure choices. Does not: what is sent where
(``serving.pool``).

Caches (the processor's, the engine's) hold the models that were asked for last, and so does a worker with a budget of
memory: so a model stays with one worker as long as that one has room. Rendezvous hashing (Thaler and Ravishankar, 1998)
gives every model an order of workers that changes for few models when a worker comes or goes. Bounded loads (Mirrokni,
Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018) let no worker have more than c times the
average: one busy model spills over to all workers, and of many models nearly all stay where they are.
"""

import functools
import hashlib
import math
import re
from collections.abc import Mapping, Sequence, Sized

from mlops_assets.serving.messages import Asked

C = 1.25
"""Of the paper's examples the one that trades 25 % of imbalance for few models that move."""
SLACK = 8
"""Requests by which a worker may be above the bound where another one would have to load the model: that takes as long
as answering so many."""
LOOKED_AT = 400
"""Bytes at either end of a body."""
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')


def model_guessed(asked: Asked) -> bytes:
    """The model that a request is probably about; nothing when it does not show. Wrong ones cost locality alone."""
    if asked.model:
        return asked.model.encode("latin-1")
    if asked.query.startswith(b"model="):
        return asked.query[6:206]
    found = _MODEL.search(asked.body, 0, LOOKED_AT) or _MODEL.search(asked.body, max(0, len(asked.body) - LOOKED_AT))
    return found[1] if found else b""


def first_with_room(model: bytes, loads: Mapping[int, Sized], slack: int = 0) -> int:
    """The place that gets a model's next request; ``loads`` has what each place is answering.

    ``slack`` requests more than the bound let a model stay: for workers that would have to load it elsewhere.
    """
    if len(loads) == 1:
        return next(iter(loads))
    most = math.ceil(C * (sum(map(len, loads.values())) + 1) / len(loads)) + slack
    # The average is below ``most``, so somebody has room.
    return next(place for place in order(model, tuple(loads)) if len(loads[place]) < most)


@functools.lru_cache(maxsize=4096)
def order(model: bytes, places: Sequence[int]) -> tuple[int, ...]:
    """The places, a model's favourite first."""
    return tuple(sorted(places, key=lambda place: hashlib.blake2b(b"%d\n%b" % (place, model), digest_size=8).digest()))
