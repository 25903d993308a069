"""Feast's registry without pickled functions: a transformation is kept as its source text alone.

Here: ``keep_source_only``. Belongs here: what Feast would pickle. Does not: the registry's place (``feast_state``).

Feast 0.67 writes every on-demand transformation twice, as source and as a dill stream, and reads the source first
(``feast.transformation.udf_rehydrate``). The stream would be the one pickle in everything that this project writes, and
whoever may write the registry could run code in every reader of it.
"""


def keep_source_only() -> None:
    """From now on this process writes no dill stream into Feast's registry."""
    from feast.protos.feast.core.Transformation_pb2 import UserDefinedFunctionV2
    from feast.transformation.base import Transformation
    from feast.transformation.mode import TransformationMode

    def to_proto(self: Transformation) -> UserDefinedFunctionV2:
        mode = TransformationMode(self.mode).value
        return UserDefinedFunctionV2(name=self.udf.__name__, body=b"", body_text=self.udf_string, mode=mode)

    Transformation.to_proto = to_proto
