"""The protocol of MLflow's scoring server: what its clients send to ``/invocations``, as columns.

Here: its JSON forms (dataframe_split, dataframe_records, instances, inputs) and CSV, its answers and its errors.
Belongs here: the protocol's forms. Does not: what a column may hold (``serving.columns``), paths and statuses
(``serving.endpoints``).

MLflow's own client writes a missing value as NaN, which JSON does not know: here, and nowhere else, NaN is read and is
a missing value. An array without names holds the model's features in their order.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from mlops_assets.serving.columns import Table
from mlops_assets.serving.refusal import Refusal

MOST_STARTS = 8
"""Starts of bodies that are remembered; a client sends one for each number of rows at most."""
LEARNT = 16
"""One of so many unknown bodies is learnt."""
_ROWS = msgspec.json.Decoder(list[list[Any]])
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
JSON, CSV = b"application/json", b"text/csv"
ONE_OF = f"send one JSON object with exactly one of {', '.join(FORMS)}"


class Starts:
    """Starts of bodies up to their rows: a client sends the same names over and over, and they are the larger half."""

    def __init__(self) -> None:
        """None known."""
        self._known: list[tuple[bytes, tuple[str, ...]]] = []
        self._strange = 0

    def table(self, body: bytes) -> Table | None:
        """The columns of a body that starts like one before and is right; None for any other."""
        for start, names in self._known:
            if body.startswith(start) and body.endswith(b"}}"):
                try:
                    rows = _ROWS.decode(memoryview(body)[len(start) : -2])
                except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                    return None
                width = len(names)
                return Table(names, rows) if all(len(row) == width for row in rows) else None
        return None

    def learn(self, body: bytes, names: tuple[str, ...]) -> None:
        """Remember how a body starts whose names were found right; not every one, for some callers never repeat."""
        self._strange += 1
        if self._strange % LEARNT != 1:
            return
        start, key, _ = body.partition(b'"data":')
        try:
            told = msgspec.json.decode(start + b'"data":0}}')["dataframe_split"]
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, LookupError, TypeError):
            return
        # Of any other text, the end would not make one document with exactly these names.
        if key and isinstance(told, dict) and told.pop("data", None) == 0 and told.get("columns") == list(names):
            self._known = [(start + key, names), *self._known[: MOST_STARTS - 1]]


def parse(
    body: bytes,
    content_type: bytes,
    features: Sequence[str],
    kinds: Callable[[], Mapping[str, str]],
    starts: Starts | None = None,
) -> Table:
    """The columns of a request.

    ``features`` are the names for an array without any; ``kinds`` tells (string, integer, number) what CSV,
    which knows text alone, is read as. ``starts`` remembers bodies of before. Raises Refusal, with 415 for another
    content type.
    """
    if starts and content_type == JSON and (table := starts.table(body)):
        return table
    kind, _, parameters = content_type.lower().partition(b";")
    if parameters.strip() not in (b"", b"charset=utf-8"):
        raise Refusal(415, "content-type", "the one parameter is charset=utf-8")
    if kind.strip() == CSV:
        return _from_csv(body, kinds())
    if kind.strip() not in (JSON, b""):
        raise Refusal(415, "content-type", "send application/json or text/csv")
    document = _json(body)
    if not isinstance(document, dict):
        raise Refusal(400, "body", ONE_OF)
    if document.pop("params", None):
        raise Refusal(422, "params", "this model has no parameters: leave them away")
    if len(document) != 1 or not set(document) <= set(FORMS):
        raise Refusal(400, "body", f"{ONE_OF}; there are {', '.join(map(str, document))[:200] or 'none'}")
    ((form, data),) = document.items()
    table = _FORMS[form](data, form, features)
    if starts and form == "dataframe_split":
        starts.learn(body, table.names)
    return table


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    try:
        # Slower, and reads NaN and infinities; what is not finite is judged where its column is known.
        document = json.loads(body)
        if b"\\u" in body:
            # It reads halves of characters too, which no log and no answer could hold.
            json.dumps(document, ensure_ascii=False).encode()
        return document
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refusal(400, "body", f"not valid JSON ({why[:200]}); {ONE_OF}") from None


def _split(data: Any, form: str, features: Sequence[str]) -> Table:
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("columns"), list)
        or not isinstance(data.get("data"), list)
    ):
        raise Refusal(422, form, 'send {"columns": [names], "data": [[values], ...]}')
    if unknown := set(data) - {"columns", "data", "index"}:
        raise Refusal(422, f"{form}.{min(unknown)}", "is not part of this form: there are columns, data and index")
    return _table(data["columns"], data["data"], f"{form}.columns", f"{form}.data")


def _records(data: Any, form: str, features: Sequence[str]) -> Table:
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise Refusal(422, form, "send an array of objects, one for each row")
    names = list(data[0]) if data else []
    for i, row in enumerate(data):
        if row.keys() != set(names):
            odd = min(row.keys() ^ set(names))
            raise Refusal(
                422, f"{form}[{i}].{odd}", "is not in every row: send the same names in each, null for missing"
            )
    return Table(tuple(names), [[row[name] for name in names] for row in data])


def _instances(data: Any, form: str, features: Sequence[str]) -> Table:
    if isinstance(data, list) and data and isinstance(data[0], list):
        return _table(list(features), data, "the model", form)
    return _records(data, form, features)


def _inputs(data: Any, form: str, features: Sequence[str]) -> Table:
    if not isinstance(data, dict):
        return _instances(data, form, features)
    columns = {name: values if isinstance(values, list) else [values] for name, values in data.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        short = min(lengths, key=lambda name: lengths[name])
        message = f"has {lengths[short]} values and another column {max(lengths.values())}: send as many of each"
        raise Refusal(422, f"{form}.{short}", message)
    return Table(tuple(columns), list(zip(*columns.values(), strict=True)))


def _table(names: Sequence[Any], rows: Sequence[Any], whose: str, form: str) -> Table:
    if not set(map(type, names)) <= {str} or len(set(names)) != len(names):
        raise Refusal(422, whose, "every column needs a name of its own, as a string")
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise Refusal(422, f"{form}[{i}]", f"must be an array of {len(names)} values, as {whose} has")
    return Table(tuple(names), rows)


_FORMS: Mapping[str, Callable[[Any, str, Sequence[str]], Table]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
}


def _from_csv(body: bytes, kinds: Mapping[str, str]) -> Table:
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode(), newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refusal(400, "body", f"not valid CSV in UTF-8 ({error})") from None
    if not lines:
        raise Refusal(400, "body", "send a line of names, then one line for each row")
    table = _table(lines[0], lines[1:], "the first line", "lines")
    told = [kinds.get(name) for name in table.names]
    return Table(
        table.names, [[_typed(text, kind) for text, kind in zip(row, told, strict=True)] for row in table.rows]
    )


def _typed(text: str, kind: str | None) -> Any:
    """What a text stands for; what it cannot stand for stays text, and is refused where its column is known."""
    if not text:
        return None
    try:
        return {"integer": int, "number": float}[kind](text) if kind in ("integer", "number") else text
    except ValueError:
        return text


def answer(predictions: Sequence[Mapping[str, Any]]) -> bytes:
    """The body of an answer: the scores in the order of the rows."""
    return msgspec.json.encode({"predictions": [prediction["score"] for prediction in predictions]})


def refused(refusal: Refusal) -> bytes:
    """The body of a refusal, as MLflow's clients read one."""
    code = "INTERNAL_ERROR" if refusal.status == 500 else "BAD_REQUEST"
    message = f"{refusal.field}: {refusal.message}" if refusal.field else refusal.message
    return msgspec.json.encode({"error_code": code, "message": message, **refusal.body()})
