"""LightGBM's trees as data for a compiled loop: the same scores to the last bit, several times faster.

Here: reading a model's text, and ``CompiledTrees``. Belongs here: what LightGBM means by its text. Does not: the loop
(``serving.tree_kernel``), proving that the scores are the same (``serving.engines``).

What a text may say and this does not read (linear trees, zero as missing, averaged forests, other objectives) raises
Unsupported: LightGBM itself computes such a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.ml.engines import EngineError, checked_matrix
from mlops_assets.serving.tree_kernel import LANES, OFFSET_BITS, SLOT_BITS, kernel

NODE = np.dtype([("threshold", "<f8"), ("child", "<u4"), ("where", "<u4")])
CATEGORICAL, DEFAULT_LEFT = 1, 2
NO_MISSING, ZERO_IS_MISSING = 0, 1
"""LightGBM's decision_type: bit 0, bit 1, and the missing type in the bits above."""
AS_LOW, AS_HIGH, AS_ZERO = 0, 1, 2
"""What stands for NaN in the three copies of a row: it goes left, it goes right, it is zero."""
LARGEST = float(np.finfo(np.float64).max)
Text = Mapping[str, str]


class Unsupported(EngineError):
    """The text says something that this module does not read."""


@dataclass
class _Split:
    """The categorical splits of one column."""

    words: list[np.ndarray]

    def table(self) -> np.ndarray:
        """Shape (levels + 1, splits), float64: 0 where a level goes left; the last row is any other value's."""
        widest = max(map(len, self.words))
        bits = np.zeros((len(self.words), widest), dtype="<u4")
        for i, words in enumerate(self.words):
            bits[i, : len(words)] = words
        left = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")
        levels = int(np.flatnonzero(left.any(axis=0)).max(initial=-1)) + 1
        table = np.ones((levels + 1, len(self.words)), dtype=np.float64, order="C")
        table[:levels] = 1.0 - left[:, :levels].T
        return table


class CompiledTrees:
    """One loaded model."""

    def __init__(self, model_text: bytes, *, features: int, trees: int) -> None:
        """Read ``model_text`` and use its first ``trees`` trees. Raises Unsupported, and EngineError for damage."""
        try:
            head, *parts = _parts(model_text.decode())
            self._sigmoid = _sigmoid(head)
            if int(head["max_feature_idx"]) + 1 != features or not 1 <= trees <= len(parts):
                raise EngineError("the model's text does not fit its signature")
            self._build(parts[:trees], features)
        except (KeyError, ValueError, IndexError, OverflowError) as error:
            if isinstance(error, EngineError):
                raise
            raise EngineError(f"the model's text cannot be read: {error}") from error
        self._score = kernel()

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Scores, shape (rows,), float64. ``matrix`` has shape (rows, features), float64, C order."""
        rows, out = len(checked_matrix(matrix, self._features)), np.empty(len(matrix), dtype=np.float64)
        if rows:
            # Of the call, not of the model: several threads may ask at once.
            x, bases = np.empty(3 * self._features), np.empty(1 + len(self._tables), dtype=np.uint64)
            self._score(
                *self._trees, self._groups, matrix.ctypes.data, self._features, len(self._tables), *self._categories,
                x.ctypes.data, bases.ctypes.data, rows, self._sigmoid, out.ctypes.data,
            )  # fmt: skip
        return out

    def _build(self, parts: Sequence[Text], features: int) -> None:
        splits: dict[int, _Split] = {}
        nodes, leaves, roots, depths = [], [], [], []
        for part in parts:
            roots.append(sum(map(len, nodes)) if not nodes else roots[-1] + len(nodes[-1]))
            made, values, depth = _tree(part, roots[-1], splits, features)
            nodes.append(made)
            leaves.append(values)
            depths.append(depth)
        filled = -len(parts) % LANES
        if filled:
            # Trees of one leaf, which adds nothing, so that every group is full.
            last = roots[-1] + len(nodes[-1])
            nodes.append(np.array([(np.inf, last, 0)], dtype=NODE))
            leaves.append(np.zeros(1))
            roots += [last] * filled
            depths += [0] * filled
        slots = {column: slot for slot, column in enumerate(sorted(splits), start=1)}
        if len(slots) >= 2**SLOT_BITS or max((len(s.words) for s in splits.values()), default=0) >= 2**OFFSET_BITS:
            raise Unsupported("more categories or splits than a node can name")
        self._features = features
        self._nodes = np.concatenate(nodes)
        _name_slots(self._nodes, slots)
        self._leaves = np.concatenate(leaves)
        self._roots = np.array(roots, dtype="<u4")
        self._groups = len(roots) // LANES
        self._depths = np.array(depths, dtype=np.int64).reshape(-1, LANES).max(axis=1)
        self._tables = [splits[column].table() for column in slots]
        self._columns = np.array(list(slots), dtype=np.int64)
        self._levels = np.array([len(table) - 1 for table in self._tables], dtype=np.int64)
        self._strides = np.array([table.shape[1] for table in self._tables], dtype=np.int64)
        self._addresses = np.array([table.ctypes.data for table in self._tables], dtype=np.uint64)
        self._trees = [a.ctypes.data for a in (self._nodes, self._roots, self._depths, self._leaves)]
        self._categories = [a.ctypes.data for a in (self._columns, self._levels, self._addresses, self._strides)]


def _parts(text: str) -> list[Text]:
    """The head and every tree of a model's text, key -> value."""
    trees = text.partition("\nend of trees")[0].split("\nTree=")
    lines = ([line.partition("=") for line in part.split("\n")] for part in trees)
    return [{key: value for key, _, value in part} for part in lines]


def _sigmoid(head: Text) -> float:
    words = head["objective"].split()
    plain = head.get("num_class") == "1" and head.get("num_tree_per_iteration") == "1"
    if words[:1] != ["binary"] or not plain or "average_output" in head:
        raise Unsupported(f"the objective {head['objective']}")
    return float(next((word.partition(":")[2] for word in words if word.startswith("sigmoid:")), "1"))


def _numbers(part: Text, key: str, kind: type) -> np.ndarray:
    return np.array(part.get(key, "").split(), dtype=kind)


def _tree(part: Text, first: int, splits: dict[int, _Split], features: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The nodes of a tree that starts at ``first``, the value of each (0 where it is no leaf), and its depth.

    The root comes first, the children of internal node ``n`` at 1 + 2n and 2 + 2n. The field ``where`` of categorical
    nodes holds the column in its upper bits until all columns are known.
    """
    if part.get("is_linear", "0") != "0":
        raise Unsupported("linear trees")
    values = _numbers(part, "leaf_value", float)
    inner = len(values) - 1
    children = np.stack([_numbers(part, "left_child", int), _numbers(part, "right_child", int)], axis=1).ravel()
    columns, kinds = _numbers(part, "split_feature", int), _numbers(part, "decision_type", int)
    thresholds = _numbers(part, "threshold", float)
    if not len(children) == 2 * inner == 2 * len(columns) == 2 * len(kinds) == 2 * len(thresholds):
        raise EngineError("a tree is cut off")
    if np.isneginf(thresholds).any() or np.isnan(thresholds).any():
        raise Unsupported("a threshold that is no number")
    if inner and not (columns.min() >= 0 and columns.max() < features):
        raise EngineError("a tree splits a column that is not there")
    nodes, leaves = np.empty(1 + 2 * inner, dtype=NODE), np.zeros(1 + 2 * inner)
    # Every node is a leaf until it is something else: a damaged text leads nowhere outside.
    nodes["threshold"], nodes["child"], nodes["where"] = np.inf, first + np.arange(len(nodes)), 0
    place = np.zeros(inner, dtype=np.int64)
    at = np.arange(1, 1 + 2 * inner)
    is_leaf = children < 0
    place[children[~is_leaf]] = at[~is_leaf]
    ends = at[is_leaf] if inner else np.zeros(1, dtype=np.int64)
    leaves[ends] = values[~children[is_leaf]] if inner else values
    if inner:
        where = _where(part, columns, kinds, thresholds, splits)
        # A threshold of infinity lets every number go left, and what is missing alone go right.
        thresholds = np.where(kinds & CATEGORICAL, 0.5, np.minimum(thresholds, LARGEST))
        nodes["threshold"][place], nodes["where"][place] = thresholds, where
        nodes["child"][place] = first + 1 + 2 * np.arange(inner)
    return nodes, leaves, _depth(children.reshape(-1, 2))


def _where(
    part: Text, columns: np.ndarray, kinds: np.ndarray, thresholds: np.ndarray, splits: dict[int, _Split]
) -> np.ndarray:
    categorical, missing = (kinds & CATEGORICAL) > 0, kinds >> 2 & 3
    if (missing[~categorical] == ZERO_IS_MISSING).any():
        raise Unsupported("zero as a missing value")
    copy = np.where(missing == NO_MISSING, AS_ZERO, np.where(kinds & DEFAULT_LEFT, AS_LOW, AS_HIGH))
    where = (3 * columns + copy).astype("<u4")
    bounds, words = _numbers(part, "cat_boundaries", int), _numbers(part, "cat_threshold", int).astype("<u4")
    for node in np.flatnonzero(categorical).tolist():
        column, split = int(columns[node]), int(thresholds[node])
        if column + 1 >= 2**SLOT_BITS:
            raise Unsupported("a categorical column beyond those that a node can name")
        known = splits.setdefault(column, _Split([])).words
        where[node] = (column + 1) << OFFSET_BITS | len(known)
        known.append(words[bounds[split] : bounds[split + 1]])
    return where


def _name_slots(nodes: np.ndarray, slots: Mapping[int, int]) -> None:
    """Put the number of a column's table in the place of the column."""
    told = np.zeros(2**SLOT_BITS, dtype="<u4")
    for column, slot in slots.items():
        told[column + 1] = slot
    where = nodes["where"]
    nodes["where"] = told[where >> OFFSET_BITS] << OFFSET_BITS | where & (2**OFFSET_BITS - 1)


def _depth(children: np.ndarray) -> int:
    """Of a tree whose parents come before their children, as LightGBM writes them."""
    depth = [0] * (len(children) + 1)
    deepest = 0
    for node, pair in enumerate(children.tolist()):
        below = depth[node] + 1
        deepest = max(deepest, below)
        for child in pair:
            if child >= 0:
                if child <= node:
                    raise EngineError("a tree turns back on itself")
                depth[child] = below
    return deepest
