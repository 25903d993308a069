"""What becomes of the requests of one batch on their way to their answers.

Here: ``Batch``, and which requests claim an id of another decision. Belongs here: what holds for a batch as a whole.
Does not: scoring it (``serving.scoring``), logging it (``serving.data_plane``), forming one (``serving.batching``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlops_assets.adapters.traffic_log import TrafficRecord
from mlops_assets.ml.bundles import ModelFeature
from mlops_assets.serving.arms import ModelState
from mlops_assets.serving.refusal import Refusal
from mlops_assets.serving.requests import PredictRequest
from mlops_assets.serving.scoring import BatchScores


@dataclass
class Batch:
    """What becomes of a batch on its way."""

    made: dict[str, TrafficRecord] = field(default_factory=dict)
    """Request id -> record, of the rows that got a score."""
    failed: dict[str, Refusal] = field(default_factory=dict)
    """Request id -> refusal, of the rows that did not."""
    features: dict[str, Sequence[ModelFeature]] = field(default_factory=dict)
    scored: list[tuple[ModelState, BatchScores, list[str]]] = field(default_factory=list)
    """What was scored together, with the request ids of its rows."""
    refused: dict[int, Refusal] = field(default_factory=dict)
    """Position of a request -> why it is not answered."""
    records: list[TrafficRecord] = field(default_factory=list)
    """What is logged: the rows of requests that are answered, and no others."""

    def settle(self, requests: Sequence[PredictRequest]) -> None:
        """A request is answered whole or not at all."""
        if not self.failed:
            self.records = list(self.made.values())
            return
        for position, request in enumerate(requests):
            lost = [(k, row.request_id) for k, row in enumerate(request.rows) if row.request_id in self.failed]
            if lost:
                self.refused.setdefault(position, _about(lost[0][0], self.failed[lost[0][1]]))
        answered = [request for position, request in enumerate(requests) if position not in self.refused]
        wanted = {row.request_id for request in answered for row in request.rows}
        self.records = [record for key, record in self.made.items() if key in wanted]


def _about(row: int, said: Refusal) -> Refusal:
    """A refusal of one row, with the row's place in its request."""
    return Refusal(said.status, f"rows[{row}]", said.message) if said.field == "rows" else said


def conflicts(requests: Sequence[PredictRequest], known: Mapping[str, TrafficRecord]) -> dict[int, Refusal]:
    """Position -> refusal of the requests that use a request id which belongs to another decision."""
    claims: dict[str, Claim] = {key: (r.model, r.entity_id, r.event_time) for key, r in known.items()}
    refused: dict[int, Refusal] = {}
    for position, request in enumerate(requests):
        mine = {row.request_id: (request.state.facts.name, *row.identity) for row in request.rows}
        stolen = next((i for i, (key, who) in enumerate(mine.items()) if not _same(claims.get(key, who), who)), None)
        if stolen is None:
            claims |= mine
        else:
            message = "this id was used for another decision: send a new one for a new decision"
            refused[position] = Refusal(409, f"rows[{stolen}].request_id", message)
    return refused


Claim = tuple[str, str, str | None]
"""Whose decision a request id stands for: model, entity, event time (None: any)."""


def _same(one: Claim, other: Claim) -> bool:
    return one[:2] == other[:2] and (one[2] == other[2] or None in (one[2], other[2]))
