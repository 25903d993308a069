"""What a model version is made of, and the one digest that names it.

A bundle is a folder: the model's file (``model.txt``, LightGBM's own text, or ``model.onnx``) and ``signature.json``
(which engine computes it, what the model eats, in which order, from where, how its scores are calibrated, with the
golden rows that prove a loaded copy right). Model, feature service and preprocessing therefore move as one unit,
whichever way a release goes.

Here: the signature's types, the digest of a bundle. Belongs here: anything that every reader of a bundle must agree
on (training, registry, server). Does not: reading or writing files, pandas, an engine: the server's workers import
this module.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

EngineName = Literal["lightgbm", "onnx"]
MODEL_FILES: Mapping[EngineName, str] = {"lightgbm": "model.txt", "onnx": "model.onnx"}
"""Engine -> the file that it computes."""
MODEL_FILE = MODEL_FILES["lightgbm"]
SIGNATURE_FILE = "signature.json"


class RequestField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field that a caller sends with every row."""

    name: str
    dtype: Literal["string", "integer", "number"]
    description: str
    minimum: float | None = None
    maximum: float | None = None


class Missing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands for a missing value of a feature, where it is not simply missing."""

    feature: str
    policy: Literal["default", "fail"]
    """``default``: the value below; ``fail``: nothing does, and there is no score without it."""
    value: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a default without a value, or a value that nobody would use."""
        if (self.policy == "default") != (self.value is not None):
            raise ValueError(f"{self.feature}: a default has a value, and nothing else has")


class ViewInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One feature view read from the online store; its columns are named ``<view>__<feature>``."""

    name: str
    join_key: str
    ttl_seconds: int
    """Older values than this, counted from the row's event time, are missing."""
    features: tuple[str, ...]
    when_missing: tuple[Missing, ...] = ()
    """Of the features that have a policy; a missing value of any other is NaN for the model."""


class ModelFeature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column of the model's matrix, in order."""

    name: str
    kind: Literal["number", "category"]
    levels: tuple[str, ...] = ()
    """Of a category: the known values; a value outside them is encoded as missing."""


class GoldenRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row whose score every loaded copy of the model must reproduce to the last bit."""

    values: tuple[float | None, ...]
    score: float


class Calibrator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an engine's scores become probabilities. Applied by ``ml.calibration``, in float64, everywhere alike."""

    method: Literal["identity", "platt", "beta", "isotonic"] = "identity"
    weights: tuple[float, ...] = ()
    """platt: slope, intercept; beta: slope of log p, slope of -log(1 - p), intercept; else none."""
    knots: tuple[float, ...] = ()
    """isotonic: scores, ascending."""
    values: tuple[float, ...] = ()
    """isotonic: the probability at each knot, ascending; straight lines between."""
    rows: int = 0
    """Rows it was fitted on: each scored by a fit that had seen only earlier days."""
    first_day: str | None = None
    """First day of those rows; None when nothing was fitted."""


IDENTITY = Calibrator()


class Inputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model of one feature service is fed with: the parts of a signature that the service decides."""

    features: tuple[ModelFeature, ...]
    """Candidates in order: request fields, features of views, on-demand features; categories without levels."""
    request_fields: tuple[RequestField, ...]
    views: tuple[ViewInput, ...]
    transformations: tuple[str, ...]
    digest: str
    """Of the service's definitions."""


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a reader needs to feed the model's file."""

    model: str
    label: str
    entity_id: str
    feature_service: str
    feature_service_digest: str
    request_fields: tuple[RequestField, ...]
    views: tuple[ViewInput, ...]
    transformations: tuple[str, ...]
    """Names in ``ml.on_demand.TRANSFORMATIONS``, applied to the request fields in this order."""
    features: tuple[ModelFeature, ...]
    golden: tuple[GoldenRow, ...]
    trees: int
    """Number of trees to use: the best iteration of the training. 0 for a model without trees."""
    engine: EngineName = "lightgbm"
    """What computes the model's file. Bundles from before there were two say nothing: LightGBM."""
    calibrator: Calibrator = IDENTITY
    """Applied to the engine's scores."""

    @property
    def model_file(self) -> str:
        """The path of the model's file in the bundle."""
        return MODEL_FILES[self.engine]


def encode_signature(signature: Signature) -> bytes:
    """The canonical bytes of a signature: equal signatures give equal bytes."""
    return msgspec.json.encode(signature, order="sorted")


def decode_signature(text: bytes) -> Signature:
    """Read a signature back.

    Raises msgspec.ValidationError, naming the field, when the text is not a signature.
    """
    return msgspec.json.decode(text, type=Signature)


def bundle_files(signature: bytes) -> tuple[str, str]:
    """The paths of a bundle's files, told by the text of its signature. Raises msgspec.ValidationError."""
    return decode_signature(signature).model_file, SIGNATURE_FILE


def digest_of(content: bytes) -> str:
    """SHA-256 of bytes, lower-case hex."""
    return hashlib.sha256(content).hexdigest()


def bundle_digest(files: Mapping[str, bytes]) -> str:
    """Digest of a bundle: SHA-256 over the lines ``<sha256>  <path>``, sorted by path.

    >>> bundle_digest({"b": b"2", "a": b"1"}) == bundle_digest({"a": b"1", "b": b"2"})
    True
    """
    lines = "".join(f"{digest_of(files[path])}  {path}\n" for path in sorted(files))
    return digest_of(lines.encode())
