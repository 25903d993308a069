"""LightGBM without its Python package: the shared library through ctypes and numpy.

Here: ``Booster``, which loads a model's text and predicts, and the checks that the C interface leaves out. Belongs
here: every call into LightGBM's library. Does not: what the columns mean (``ml.encoding``), bundles (``serving.arms``).

Why: ``import lightgbm`` costs 3 s and 190 MB, this 0.15 s and 31 MB, and the scores are the same to the last bit.
The C interface checks no shapes (a short row is read out of bounds), and a damaged model text aborts the whole
process instead of returning an error: load only bytes that a trial process has loaded before (``serving.trial``).
"""

import ctypes
import functools
import importlib.util
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from mlops_assets.ml.engines import EngineError, checked_matrix

FLOAT64 = 1
ROW_MAJOR = 1
NORMAL, CONTRIB = 0, 3
"""LightGBM's C_API_DTYPE_FLOAT64, row-major flag, C_API_PREDICT_NORMAL and C_API_PREDICT_CONTRIB."""


class BoosterError(EngineError):
    """LightGBM refused."""


@functools.cache
def library() -> Any:
    """LightGBM's shared library, found in the installed package without importing it. Raises BoosterError."""
    spec = importlib.util.find_spec("lightgbm")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        for found in sorted(Path(folder).rglob("lib_lightgbm.*")):
            loaded = ctypes.CDLL(str(found))
            loaded.LGBM_GetLastError.restype = ctypes.c_char_p
            return loaded
    raise BoosterError(f"no LightGBM library in {folders or 'the installed packages'}: install lightgbm")


def _call(function: str, *arguments: Any) -> None:
    if getattr(library(), function)(*arguments) != 0:
        raise BoosterError(f"{function}: {library().LGBM_GetLastError().decode(errors='replace')}")


def _free(function: str, handle: int) -> None:
    getattr(library(), function)(ctypes.c_void_p(handle))


class Booster:
    """One loaded model. Its memory goes when the last reference does, so a swap waits for whoever still predicts."""

    def __init__(self, model_text: bytes, *, features: int, trees: int, threads: int = 1) -> None:
        """Load ``model_text`` and use its first ``trees`` trees.

        Raises BoosterError when the model does not eat ``features`` columns, does not hold that many trees, or gives
        more than one number per row. A damaged text may abort the process.
        """
        handle, held = ctypes.c_void_p(), ctypes.c_int()
        _call("LGBM_BoosterLoadModelFromString", model_text, ctypes.byref(held), ctypes.byref(handle))
        weakref.finalize(self, _free, "LGBM_BoosterFree", handle.value or 0)
        self._handle, self._features, self._trees = handle, features, trees
        self._parameters = f"num_threads={threads}".encode()
        self._check(held.value)
        self._fast = ctypes.c_void_p()
        _call(
            "LGBM_BoosterPredictForMatSingleRowFastInit", handle, NORMAL, 0, trees, FLOAT64, features,
            self._parameters, ctypes.byref(self._fast),
        )  # fmt: skip
        weakref.finalize(self, _free, "LGBM_FastConfigFree", self._fast.value or 0)

    def _check(self, held: int) -> None:
        width, outputs = ctypes.c_int(), ctypes.c_int64()
        _call("LGBM_BoosterGetNumFeature", self._handle, ctypes.byref(width))
        if width.value != self._features:
            raise BoosterError(f"the model eats {width.value} columns, its signature names {self._features}")
        if not 1 <= self._trees <= held:
            raise BoosterError(f"the signature asks for {self._trees} trees, the model holds {held}")
        _call("LGBM_BoosterCalcNumPredict", self._handle, 1, NORMAL, 0, self._trees, ctypes.byref(outputs))
        if outputs.value != 1:
            raise BoosterError(f"the model gives {outputs.value} numbers per row, one is expected")

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Scores, shape (rows,), float64, bit-equal to ``lightgbm.Booster.predict`` with the same number of trees.

        ``matrix`` has shape (rows, features), float64, C order. Raises EngineError for any other.
        """
        rows = len(checked_matrix(matrix, self._features))
        scores = np.empty(rows, dtype=np.float64)
        if rows == 1:
            self._predict_one(matrix, scores)
        elif rows:
            self._predict_many(matrix, scores, NORMAL)
        return scores

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Exact TreeSHAP values in log-odds, shape (rows, features + 1); the last column is the expected value.

        Bit-equal to ``lightgbm.Booster.predict(pred_contrib=True)``. Raises as ``predict`` does.
        """
        values = np.empty((len(checked_matrix(matrix, self._features)), self._features + 1), dtype=np.float64)
        if len(values):
            self._predict_many(matrix, values, CONTRIB)
        return values

    def _predict_one(self, matrix: np.ndarray, scores: np.ndarray) -> None:
        """The library's own fast path: its settings were parsed at load (30 us a row instead of 55)."""
        written = ctypes.c_int64()
        _call(
            "LGBM_BoosterPredictForMatSingleRowFast", self._fast, ctypes.c_void_p(matrix.ctypes.data),
            ctypes.byref(written), ctypes.c_void_p(scores.ctypes.data),
        )  # fmt: skip

    def _predict_many(self, matrix: np.ndarray, into: np.ndarray, kind: int) -> None:
        rows, columns = matrix.shape
        written = ctypes.c_int64()
        _call(
            "LGBM_BoosterPredictForMat", self._handle, ctypes.c_void_p(matrix.ctypes.data), FLOAT64,
            ctypes.c_int32(rows), ctypes.c_int32(columns), ROW_MAJOR, kind, 0, self._trees, self._parameters,
            ctypes.byref(written), ctypes.c_void_p(into.ctypes.data),
        )  # fmt: skip
        if written.value != into.size:
            raise BoosterError(f"LightGBM gave {written.value} numbers for {rows} rows, {into.size} are expected")
