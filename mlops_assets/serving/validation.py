"""Strict reading of a prediction request: all of it is checked before anything is predicted.

Here: the form of a model's rows, made from its signature, and the parsing of a body against it. Belongs here: whatever
decides that a request is well-formed, and the words that say why not. Does not: HTTP, features, scores.

A number in quotes, a null, NaN, a field too many or too few, a value out of its range: each is refused by name.
"""

import datetime as dt
import functools
import itertools
import math
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mlops_assets.ml.bundles import RequestField, Signature
from mlops_assets.serving.explaining import explain, find_non_finite
from mlops_assets.serving.refusal import Refusal

if TYPE_CHECKING:
    from mlops_assets.serving.given import Given

Instant = Annotated[dt.datetime, Meta(tz=True)]
RequestId = Annotated[str, Meta(min_length=1, max_length=128)]
SAFE_INTEGER = 2**53
"""Beyond this a float64 no longer holds every integer."""
LONGEST_TEXT = 256
YEARS = range(1970, 2200)
_OTHER_AGES = "must lie in the years 1970 to 2199"

_NO_FIELDS: Mapping[str, Any] = {}
_SEQUENCE = itertools.count()
_PROCESS = secrets.token_hex(8)


class DecisionRow(NamedTuple):
    """One checked row."""

    request_id: str
    given_id: bool
    """True when the caller chose the request id, which may therefore repeat."""
    entity_id: str
    at: float
    """Event time, seconds since 1970 UTC."""
    event_time: str
    day: str
    """Local calendar day of the event time."""
    fields: Mapping[str, Any]
    """The request fields; none when the caller sent features."""
    given: "Given | None" = None
    """The features that the caller sent, of all rows of the request, and which of them is this row's."""
    position: int = 0
    timed: bool = True
    """The caller said when; otherwise the event time is that of the arrival, another one when the row comes again."""

    @property
    def identity(self) -> tuple[str, str | None]:
        """What must be equal when a request id repeats; None is equal to every time."""
        return self.entity_id, self.event_time if self.timed else None


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The outside of a request; the rows wait until the model, and so their form, is known."""

    model: str
    rows: msgspec.Raw
    event_time: Instant | UnsetType = UNSET


class RequestForm:
    """What the rows of one model must look like."""

    def __init__(self, entity_id: str, fields: Sequence[RequestField], *, lenient: bool = False) -> None:
        """Rows with ``fields``, the entity's id, an event time and a request id.

        ``lenient`` lets unknown fields pass unread: for a model of which no version is loaded, so that nobody knows
        its fields. Raises ValueError for a name that cannot be a field.
        """
        self.entity_id = entity_id
        self.fields = {f.name: f for f in fields if f.name not in ("event_time", "request_id")}
        self.fields.setdefault(entity_id, RequestField(entity_id, "string", "Identifies the decision."))
        members: list[Any] = [(name, _kind(field)) for name, field in self.fields.items()]
        members += [("event_time", Instant | UnsetType, UNSET), ("request_id", RequestId | UnsetType, UNSET)]
        self.row = msgspec.defstruct("Row", members, forbid_unknown_fields=not lenient, kw_only=True)
        """The type of a row."""
        self._decoder = msgspec.json.Decoder(list[self.row])

    @classmethod
    def of(cls, signature: Signature) -> "RequestForm":
        """The form that a signature asks for."""
        return cls(signature.entity_id, signature.request_fields)

    def same_fields(self, signature: Signature) -> bool:
        """True when a signature asks callers for the same names and types."""
        other = RequestForm.of(signature).fields
        return {n: f.dtype for n, f in self.fields.items()} == {n: f.dtype for n, f in other.items()}

    def decode(self, rows: bytes) -> list[Any]:
        """The rows, typed. Raises msgspec.DecodeError."""
        return self._decoder.decode(rows)


def _kind(field: RequestField) -> Any:
    if field.dtype == "string":
        return Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]
    if field.dtype == "number":
        return Annotated[float, Meta(ge=field.minimum, le=field.maximum)]
    least = -SAFE_INTEGER if field.minimum is None else math.ceil(field.minimum)
    most = SAFE_INTEGER if field.maximum is None else math.floor(field.maximum)
    return Annotated[int, Meta(ge=least, le=most)]


class _About(msgspec.Struct, frozen=True):
    """What may be known of a row besides its features."""

    entity_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)] | None = None
    event_time: Instant | None = None
    request_id: RequestId | None = None


_ENVELOPE = msgspec.json.Decoder(Envelope)


def parse_envelope(body: bytes) -> Envelope:
    """The outside of a body. Raises Refusal."""
    try:
        return _ENVELOPE.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise explain(error, "", _no_hint, find_non_finite(body)) from None


def parse_rows(envelope: Envelope, form: RequestForm, timezone: dt.tzinfo, max_rows: int) -> list[DecisionRow]:
    """The rows of a request, every one of them checked. Raises Refusal."""
    try:
        typed = form.decode(bytes(envelope.rows))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise explain(error, "rows", lambda name: _hint(form, name), find_non_finite(bytes(envelope.rows))) from None
    if not 1 <= len(typed) <= max_rows:
        message = f"{len(typed)} rows in one request: send at least 1 and at most {max_rows}"
        raise Refusal(422, "rows", message)
    rows = list(_checked(typed, envelope.event_time, form.entity_id, timezone))
    refuse_repeated_ids(rows)
    return rows


def _checked(
    typed: Sequence[Any], default: dt.datetime | UnsetType, entity_id: str, timezone: dt.tzinfo
) -> Iterator[DecisionRow]:
    for position, row in enumerate(typed):
        fields = msgspec.structs.asdict(row)
        sent_time, sent_id = fields.pop("event_time"), fields.pop("request_id")
        at = default if sent_time is UNSET else sent_time
        if at is not UNSET and at.year not in YEARS:
            raise Refusal(422, f"rows[{position}].event_time", _OTHER_AGES)
        if at is UNSET:
            message = "send the decision's time as an ISO 8601 instant, e.g. 2013-04-01T12:00:00Z, in every row or once"
            raise Refusal(422, f"rows[{position}].event_time", message)
        request_id = None if sent_id is UNSET else sent_id
        yield _row(request_id, fields[entity_id], at, timezone, fields)


def _row(
    request_id: str | None, entity_id: str, at: dt.datetime, timezone: dt.tzinfo, fields: Mapping[str, Any]
) -> DecisionRow:
    return DecisionRow(
        request_id=request_id or new_request_id(),
        given_id=request_id is not None,
        entity_id=entity_id,
        at=at.timestamp(),
        event_time=at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
        day=at.astimezone(timezone).date().isoformat(),
        fields=fields,
    )


def row_of_features(
    position: int, told: Mapping[str, Any], entity_id: str, timezone: dt.tzinfo, given: "Given"
) -> DecisionRow:
    """A row whose features were sent: ``told`` is its entity's id, event_time and request_id, each or None.

    Without an entity it is its own; without a time it is of now. Raises Refusal.
    """
    try:
        known = msgspec.convert({**told, "entity_id": told.get(entity_id)}, _About)
    except msgspec.ValidationError as error:
        raise explain(error, f"rows[{position}]", _no_hint, None) from None
    at = known.event_time or dt.datetime.now(dt.UTC)
    if at.year not in YEARS:
        raise Refusal(422, f"rows[{position}].event_time", _OTHER_AGES)
    row = _row(known.request_id, known.entity_id or "", at, timezone, {})
    named = row if known.entity_id else row._replace(entity_id=row.request_id)
    return named._replace(given=given, position=position, timed=known.event_time is not None)


def unnamed_rows(count: int, timezone: dt.tzinfo, given: "Given") -> list[DecisionRow]:
    """Rows whose features were sent, of which nothing else is told: each is its own entity, and of now."""
    at = time.time()
    second, day = _told(int(at), timezone)
    event_time = f"{second}.{int(at * 1000) % 1000:03d}Z"
    rows = []
    for position in range(count):
        key = new_request_id()
        rows.append(DecisionRow(key, False, key, at, event_time, day, _NO_FIELDS, given, position, False))
    return rows


@functools.lru_cache(maxsize=64)
def _told(seconds: int, timezone: dt.tzinfo) -> tuple[str, str]:
    """A second without its fraction and zone, and its local day. Kept, for many requests come in one."""
    at = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S"), at.astimezone(timezone).date().isoformat()


def new_request_id() -> str:
    """A request id that no other process makes; later ones sort after earlier ones, which keeps the log's index small.

    Not a secret.
    """
    return f"{time.time_ns():016x}-{_PROCESS}-{next(_SEQUENCE):x}"


def refuse_repeated_ids(rows: Sequence[DecisionRow]) -> None:
    """Raises Refusal when two rows have one request id."""
    seen: set[str] = set()
    for position, row in enumerate(rows):
        if row.request_id in seen:
            raise Refusal(422, f"rows[{position}].request_id", "the id is used twice in this request: one id per row")
        seen.add(row.request_id)


def _no_hint(name: str) -> str:
    return {
        "model": "send the model's name as a string",
        "rows": "send an array of rows",
        "event_time": "send an ISO 8601 instant with its zone, e.g. 2013-04-01T12:00:00Z",
    }.get(name, 'send one JSON object: {"model": ..., "rows": [...]}')


def _hint(form: RequestForm, name: str) -> str:
    field = form.fields.get(name)
    if field is None:
        also = {"event_time": "send an ISO 8601 instant with its zone", "request_id": "send a string of 1 to 128"}
        return also.get(name) or f"the fields of a row are {', '.join(form.fields)}, event_time and request_id"
    article = {"string": "a string", "integer": "an integer", "number": "a number"}[field.dtype]
    limits = [f"from {field.minimum:g}"] if field.minimum is not None else []
    limits += [f"up to {field.maximum:g}"] if field.maximum is not None else []
    return f"send {' '.join([article, *limits])} ({field.description.rstrip('.')})"
