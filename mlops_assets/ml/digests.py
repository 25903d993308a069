"""Naming rows by their content: one digest for a frame, and one for each of its days.

Here: ``content_digest``, ``content_digests``. Belongs here: what makes two sets of rows the same.
Does not: digests of files (``ml.bundles``), where a digest is kept (``contracts.TableVersion``).

A digest is the same for the same rows in any order, file layout, column order or process. Numbers are compared as
float64 (integers are exact up to 2**53), instants as UTC microseconds; all missing values are alike.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops_assets.ml.schedules import INSTANT

if TYPE_CHECKING:
    import pyarrow as pa


def content_digest(frame: pd.DataFrame) -> str:
    """SHA-256 of a frame's rows.

    Raises TypeError, naming the column, for values that are neither text, numbers nor instants.
    """
    return _cells(frame).whole()


def content_digests(frame: pd.DataFrame, by: str = "day") -> Mapping[str, str]:
    """Of every value of the column ``by`` the ``content_digest`` of its rows, in one pass over the frame.

    Values are in order; a value without rows is not among them. Raises TypeError as ``content_digest`` does.
    """
    return _cells(frame).parts(frame[by])


@dataclass(frozen=True)
class _Cells:
    """A frame as what a digest is taken of."""

    header: bytes
    """Names and kinds of the columns."""
    numbers: np.ndarray
    """Little-endian uint64, shape (rows, columns that are no text)."""
    texts: "Sequence[pa.LargeStringArray]"
    """Each of the length rows."""
    mixed: np.ndarray
    """uint64, shape (rows,): a mix of each row's cells. Rows are put in its order: 50 times faster than sorting on
    every column."""

    def whole(self) -> str:
        return self._digests(np.argsort(self.mixed), [len(self.mixed)])[0]

    def parts(self, by: pd.Series) -> dict[str, str]:
        codes, names = pd.factorize(by, sort=True)
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))
        order = np.argsort(self.mixed)
        # Small numbers are put in order by counting, ten times faster than a sort on two keys.
        small = codes.astype(np.min_scalar_type(len(names)))
        digests = self._digests(order[np.argsort(small[order], kind="stable")], ends.tolist())
        return dict(zip(map(str, names), digests, strict=True))

    def _digests(self, order: np.ndarray, ends: Sequence[int]) -> list[str]:
        """The digests of consecutive parts of the rows in that order: of each first the numbers row by row, then
        every column of text as lengths in bytes (-1: missing) and UTF-8."""
        numbers = self.numbers[order]
        texts = [_packed(text.take(order)) for text in self.texts]
        digests, start = [], 0
        for end in ends:
            hashed = hashlib.sha256(self.header)
            hashed.update(numbers[start:end].data)
            for lengths, offsets, content in texts:
                hashed.update(lengths[start:end].data)
                hashed.update(content[offsets[start] : offsets[end]])
            digests.append(hashed.hexdigest())
            start = end
        return digests


def _packed(text: "pa.LargeStringArray") -> "tuple[np.ndarray, np.ndarray, memoryview]":
    """Lengths of the values in bytes (-1: missing), where each begins (and the last ends), and all of their bytes."""
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.binary_length(text), -1).to_numpy(zero_copy_only=False).astype("<i8", copy=False)
    _, offsets, content = text.buffers()
    begins = np.frombuffer(offsets, dtype=np.int64)[text.offset :][: len(text) + 1] if offsets else np.zeros(1, int)
    return lengths, begins, memoryview(content or b"")


def _cells(frame: pd.DataFrame) -> _Cells:
    kinds, numbers, texts = [], [], []
    mixed = np.zeros(len(frame), dtype=np.uint64)
    for name in sorted(frame.columns):
        values = frame[name]
        kind = _kind(values.dtype)
        kinds.append(f"{name}:{kind}\n")
        if kind == "text":
            texts.append(_text(values))
            column = _text_hashes(texts[-1])
        else:
            column = _words(values, kind)
            numbers.append(column)
        mixed = (mixed ^ column ^ (mixed >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    words = np.column_stack(numbers) if numbers else np.empty((len(frame), 0), np.uint64)
    return _Cells("".join(kinds).encode() + b"\0", words.astype("<u8", copy=False), texts, mixed)


def _kind(dtype: Any) -> str:
    if isinstance(dtype, pd.DatetimeTZDtype):
        return "instant"
    return "number" if pd.api.types.is_numeric_dtype(dtype) else "text"


def _words(values: pd.Series, kind: str) -> np.ndarray:
    """Numbers or instants as uint64 words, shape (rows,)."""
    if kind == "instant":
        return values.astype(INSTANT).astype("int64").to_numpy().view("uint64")
    numbers = values.to_numpy("float64", na_value=np.nan) + 0.0
    return np.where(np.isnan(numbers), np.nan, numbers).view("uint64")


def _text(values: pd.Series) -> "pa.LargeStringArray":
    import pyarrow as pa

    try:
        return pa.array(values.to_numpy(object), pa.large_string(), from_pandas=True)
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        message = f"column {values.name} holds values that are neither text, numbers nor instants"
        raise TypeError(message) from error


def _text_hashes(text: "pa.LargeStringArray") -> np.ndarray:
    """uint64, shape (rows,): the same for the same text. They decide about the order alone, so no more is asked."""
    import pyarrow.compute as pc

    known = text.dictionary_encode()
    hashes = pd.util.hash_array(known.dictionary.to_numpy(zero_copy_only=False), categorize=False)
    missing = len(hashes)
    return np.append(hashes, np.uint64(0))[pc.fill_null(known.indices, missing).to_numpy()]
