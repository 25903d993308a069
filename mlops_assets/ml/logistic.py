"""The family of logistic models: scikit-learn fits, ONNX keeps and computes. Nothing is pickled.

Here: the design (how the matrix becomes columns), the fit, and the ONNX graph of both. Belongs here: what decides the
bytes of a logistic model. Does not: computing a score (``ml.onnx_engine``), the simple model that monitoring keeps
beside the real one (``ml.linear``).

skl2onnx was tried: of its converters those for missing values and for tree ensembles exist in float32 only (ONNX
Runtime 1.32 has no float64 ``Imputer``), so the graph is written with ONNX's own helper, in standard operators that
all have float64 kernels.

Design: a number is standardised and cut at 4 deviations, a missing one is the mean, and whether it was missing is a
column of its own; a category is a 0/1 column for each level, less the level's share. Every column has mean 0 in
training and is 0 where a category is missing or unknown: an unknown carrier is an average carrier. A contribution is
the coefficient times the value of the transformed column, summed over the columns of a feature: exact, for the model
is linear in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_assets.contracts import Training
from mlops_assets.ml.bundles import EngineName, ModelFeature
from mlops_assets.ml.families import Choice, Range, Words
from mlops_assets.ml.matrices import Rows
from mlops_assets.ml.metrics import log_losses
from mlops_assets.ml.onnx_engine import CONTRIBUTIONS, INPUT, OnnxEngine

_CUT = 4.0
"""In standard deviations, as in ``ml.linear``: one gust of 60 knots must not bend a line."""
_OPSET, _IR_VERSION = 18, 9
"""Fixed, so that a newer onnx package writes the same bytes."""


@dataclass(frozen=True, kw_only=True)
class Category:
    """The 0/1 columns of one feature."""

    position: int
    shares: np.ndarray
    """Share of every level among the training rows that have one, shape (levels,)."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the model's matrix becomes columns of mean 0."""

    width: int
    """Features of the matrix."""
    numbers: np.ndarray
    """Positions of the numbers."""
    means: np.ndarray
    scales: np.ndarray
    gaps: np.ndarray
    """Indices into ``numbers`` of those that were missing now and then in training."""
    gap_shares: np.ndarray
    categories: tuple[Category, ...]

    @property
    def owners(self) -> np.ndarray:
        """The feature that each column belongs to, shape (columns,)."""
        flags = [np.full(len(c.shares), c.position) for c in self.categories]
        return np.concatenate([self.numbers, self.numbers[self.gaps], *flags]).astype(np.int64)

    def columns(self, matrix: np.ndarray) -> np.ndarray:
        """The columns of a matrix, shape (rows, columns)."""
        values = matrix[:, self.numbers]
        missing = np.isnan(values)
        numbers = np.clip((np.where(missing, self.means, values) - self.means) / self.scales, -_CUT, _CUT)
        gaps = missing[:, self.gaps].astype(np.float64) - self.gap_shares
        return np.hstack([numbers, gaps, *(_flags(matrix[:, [c.position]], c) for c in self.categories)])


def _flags(codes: np.ndarray, category: Category) -> np.ndarray:
    levels = np.arange(len(category.shares), dtype=np.float64)
    return np.where(np.isnan(codes), 0.0, (codes == levels).astype(np.float64) - category.shares)


def fit_design(matrix: np.ndarray, features: Sequence[ModelFeature]) -> Design:
    """The design of training rows."""
    numbers = np.array([i for i, feature in enumerate(features) if feature.kind == "number"], dtype=np.int64)
    values = matrix[:, numbers]
    missing = np.isnan(values)
    known = np.maximum((~missing).sum(axis=0), 1)
    means = np.where(missing, 0.0, values).sum(axis=0) / known
    scales = np.sqrt(np.where(missing, 0.0, np.square(values - means)).sum(axis=0) / known)
    gaps = np.flatnonzero(missing.any(axis=0))
    return Design(
        width=len(features),
        numbers=numbers,
        means=means,
        scales=np.where(scales > 0, scales, 1.0),
        gaps=gaps,
        gap_shares=missing[:, gaps].mean(axis=0),
        categories=tuple(
            Category(position=i, shares=_shares(matrix[:, i], len(feature.levels)))
            for i, feature in enumerate(features)
            if feature.kind == "category" and feature.levels
        ),
    )


def _shares(codes: np.ndarray, levels: int) -> np.ndarray:
    known = codes[~np.isnan(codes)].astype(np.int64)
    return np.bincount(known, minlength=levels) / max(len(known), 1)


class Logistic:
    """The family. See ``ml.families.Family``."""

    name = "logistic"
    engine: EngineName = "onnx"
    kind = "scikitlearn"
    library = "scikit-learn"
    words = Words(
        description="logistic regression (scikit-learn), binary; the answer is a probability",
        file="`model.onnx` (ONNX, float64)",
        choice="The fit was judged, and nothing chosen, on",
        explanation="Exact, for the model is linear: coefficient times value in the transformed space",
    )
    defaults: Mapping[str, Any] = {"C": 0.01}
    """Inverse penalty. Chosen on data before July 2013: between 0.001 and 1 the log-loss moves by less than 0.001."""
    space: Mapping[str, Range] = {"C": Range(1e-4, 10.0)}

    def recorded(self, training: Training) -> Mapping[str, Any]:
        """As in Family."""
        return dict(training.params)

    def choose(
        self, fitted: Rows, held_out: Rows, features: Sequence[ModelFeature], training: Training, threads: int
    ) -> Choice:
        """As in Family. There is nothing to stop early."""
        content = self.fit(fitted, features, training, 0, threads)
        scores = OnnxEngine(content, features=len(features)).predict(held_out.matrix)
        return Choice(scores=scores, trees=0, curve=(float(log_losses(scores, held_out.labels).mean()),))

    def fit(self, rows: Rows, features: Sequence[ModelFeature], training: Training, trees: int, threads: int) -> bytes:
        """As in Family."""
        design = fit_design(rows.matrix, features)
        model = fit_coefficients(design.columns(rows.matrix), rows.labels, training.params)
        return to_onnx(design, model.coef_[0], float(model.intercept_[0]))


def fit_coefficients(columns: np.ndarray, labels: np.ndarray, params: Mapping[str, Any]) -> Any:
    """scikit-learn's fitted LogisticRegression.

    On one thread whatever is allowed: the sums of a BLAS on two threads differ in the last bits.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return LogisticRegression(solver="newton-cholesky", tol=1e-9, max_iter=100, **params).fit(columns, labels)


def to_onnx(design: Design, coefficients: np.ndarray, intercept: float) -> bytes:
    """The model as ONNX bytes: from the matrix to contributions, float64 all through."""
    from onnx import TensorProto, helper, numpy_helper

    graph = _Graph()
    columns = _columns_in(graph, design)
    owners = np.zeros((len(coefficients), design.width + 1))
    owners[np.arange(len(coefficients)), design.owners] = 1.0
    last = np.zeros(design.width + 1)
    last[-1] = intercept
    terms = graph.node("Mul", columns, graph.constant(coefficients))
    graph.node("Add", graph.node("MatMul", terms, graph.constant(owners)), graph.constant(last), out=CONTRIBUTIONS)

    def double(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows", *shape])

    made = helper.make_graph(
        [helper.make_node(kind, list(inputs), [out], **more) for kind, inputs, out, more in graph.nodes],
        "logistic",
        [double(INPUT, design.width)],
        [double(CONTRIBUTIONS, design.width + 1)],
        [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return model.SerializeToString(deterministic=True)


class _Graph:
    """Nodes and constants in the order in which they were asked for, under running names."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, tuple[str, ...], str, dict[str, Any]]] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(value) if value.ndim else value
        return name

    def node(self, kind: str, *inputs: str, out: str = "", **more: Any) -> str:
        name = out or f"n{len(self.nodes)}"
        self.nodes.append((kind, inputs, name, more))
        return name


def _columns_in(graph: _Graph, design: Design) -> str:
    """``Design.columns``, operator by operator."""
    means = graph.constant(design.means)
    values = graph.node("Gather", INPUT, graph.constant(design.numbers), axis=1)
    missing = graph.node("IsNaN", values)
    centred = graph.node("Sub", graph.node("Where", missing, means, values), means)
    scaled = graph.node("Div", centred, graph.constant(design.scales))
    parts = [graph.node("Clip", scaled, graph.constant(np.array(-_CUT)), graph.constant(np.array(_CUT)))]
    gaps = graph.node("Gather", missing, graph.constant(design.gaps), axis=1)
    parts.append(graph.node("Sub", _as_double(graph, gaps), graph.constant(design.gap_shares)))
    for category in design.categories:
        codes = graph.node("Gather", INPUT, graph.constant(np.array([category.position])), axis=1)
        levels = graph.constant(np.arange(len(category.shares), dtype=np.float64))
        flags = graph.node(
            "Sub", _as_double(graph, graph.node("Equal", codes, levels)), graph.constant(category.shares)
        )
        parts.append(graph.node("Where", graph.node("IsNaN", codes), graph.constant(np.array(0.0)), flags))
    return graph.node("Concat", *parts, axis=1)


def _as_double(graph: _Graph, name: str) -> str:
    from onnx import TensorProto

    return graph.node("Cast", name, to=TensorProto.DOUBLE)
