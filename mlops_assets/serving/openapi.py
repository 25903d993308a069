"""The server's description of itself for tools: OpenAPI 3.1, made from the models that are loaded.

Here: ``document``. Belongs here: schemas of requests and answers. Does not: answering them (``serving.endpoints``).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from mlops_assets.serving.arms import ModelState
from mlops_assets.serving.open_inference import NUMBERS, OUTPUTS
from mlops_assets.serving.validation import LONGEST_TEXT

MOST_DESCRIBED = 50
"""Models with rows of their own in the document: of more, and of those not in memory, only the outside is told."""
Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
INSTANT: Schema = {"type": "string", "format": "date-time", "description": "With its zone; 1970 to 2199."}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["field", "message"],
            "properties": {"field": {"type": ["string", "null"]}, "message": TEXT},
        }
    },
}
LINE_ERROR: Schema = {"type": "object", "required": ["error"], "properties": {"error": TEXT}}
MLFLOW_ERROR: Schema = {
    **ERROR,
    "required": ["error_code", "message", "error"],
    "properties": {**ERROR["properties"], "error_code": TEXT, "message": TEXT},
}
REFUSALS = {
    400: "The body is not what the protocol calls a body.",
    404: "No such model or version.",
    409: "A request id was used for another decision.",
    413: "The body is too large.",
    415: "Another content type is needed.",
    422: "A field is missing, unknown, of another type or out of its range.",
    429: "Too much is waiting; see Retry-After.",
    503: "Nobody can answer now; see Retry-After.",
    504: "The time that the request allowed passed before its turn came.",
    500: "The server failed.",
}


def document(states: Mapping[str, ModelState], max_rows: int, version: str) -> Schema:
    """The OpenAPI document of a server that holds these models."""
    names = sorted(states)
    described = [name for name in names if not states[name].unloaded][:MOST_DESCRIBED]
    components: Schema = {}
    bodies = []
    for name in described:
        _, used = msgspec.json.schema_components([states[name].form.row], ref_template="#/components/schemas/{name}")
        components[f"{name}_Row"] = used["Row"]
        bodies += _predict_bodies({"const": name}, {"$ref": f"#/components/schemas/{name}_Row"}, max_rows)
    if len(described) < len(names):
        bodies += _predict_bodies(TEXT, {"type": "object"}, max_rows)
    if len(names) > MOST_DESCRIBED:
        names = []
    return {
        "openapi": "3.1.0",
        "info": {"title": "mlops_assets model server", "version": version or "0"},
        "components": {"schemas": components},
        "paths": {
            "/predict": {"post": _predict(bodies)},
            "/v2/models/{model}/infer": {"post": _infer(names)},
            "/v2/models/{model}": {"get": _get("A model's metadata.", {"type": "object"}, names)},
            "/v2/models/{model}/ready": {"get": _get("Whether a model is ready.", {"type": "object"}, names, 503)},
            "/v2": {"get": _get("The server's metadata.", {"type": "object"})},
            "/v2/health/live": {"get": _get("The process answers.", {"type": "object"})},
            "/v2/health/ready": {
                "get": _get("Every model is answered by its champion.", {"type": "object"}, None, 503)
            },
            "/invocations": {"post": _invocations()},
            "/ping": {"get": _plain("MLflow's health check.", 404)},
            "/version": {"get": _plain("The version of MLflow whose protocol is spoken.")},
            "/live": {"get": _get("The process answers.", {"type": "object"})},
            "/ready": {"get": _get("Every model is answered by its champion.", {"type": "object"}, None, 503)},
            "/metadata": {"get": _get("Versions, digests, shares, problems.", {"type": "object"})},
        },
    }


def _predict_bodies(model: Schema, row: Schema, max_rows: int) -> list[Schema]:
    """Two forms: the event time in every row, or once for all of them."""
    rows: Schema = {"type": "array", "minItems": 1, "maxItems": max_rows}
    timed: Schema = {"allOf": [row], "required": ["event_time"]}
    properties = {"model": model}
    return [
        {
            "type": "object",
            "required": ["model", "rows"],
            "additionalProperties": False,
            "properties": {**properties, "event_time": INSTANT, "rows": {**rows, "items": timed}},
        },
        {
            "type": "object",
            "required": ["model", "rows", "event_time"],
            "additionalProperties": False,
            "properties": {**properties, "event_time": INSTANT, "rows": {**rows, "items": row}},
        },
    ]


def _predict(bodies: list[Schema]) -> Schema:
    prediction: Schema = {
        "type": "object",
        "required": ["request_id", "entity_id", "score", "arm", "version", "digest", "missing"],
        "properties": {
            "request_id": TEXT,
            "entity_id": TEXT,
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "arm": {"enum": ["champion", "canary", "fallback"]},
            "version": {"type": ["integer", "null"]},
            "digest": {"type": ["string", "null"]},
            "missing": {
                "type": "integer",
                "description": "Values that were to be fetched and were not there, or too old.",
            },
            "reasons": {"type": ["object", "null"]},
        },
    }
    answer = {"type": "object", "required": ["model", "predictions"],
              "properties": {"model": TEXT, "predictions": {"type": "array", "items": prediction}}}  # fmt: skip
    explain = {"name": "explain", "in": "query", "schema": {"enum": ["true", "false"]},
               "description": "With the contributions that moved the answer most."}  # fmt: skip
    return {
        "summary": "Predictions of decisions; the features are fetched by the server.",
        "parameters": [explain],
        "requestBody": _body({"anyOf": bodies} if bodies else {"type": "object"}),
        "responses": _responses(answer, ERROR),
    }


def _infer(names: list[str]) -> Schema:
    tensor: Schema = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "additionalProperties": False,
        "properties": {
            "name": TEXT,
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2},
            "datatype": {"enum": [*NUMBERS, "BYTES"]},
            "parameters": {"type": "object"},
            "data": {"type": "array"},
        },
    }
    body: Schema = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": ["string", "null"]},
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "additionalProperties": False,
                    "properties": {"name": {"enum": list(OUTPUTS)}, "parameters": {"type": "object"}},
                },
            },
        },
    }
    answer = {"type": "object", "required": ["model_name", "outputs"]}
    return {
        "summary": "Open Inference Protocol: one input for each column.",
        "parameters": [_model(names)],
        "requestBody": _body(body),
        "responses": _responses(answer, LINE_ERROR),
    }


def _invocations() -> Schema:
    table: Schema = {"type": "array", "items": {"type": "array"}}
    split = {"type": "object", "required": ["columns", "data"],
             "properties": {"columns": {"type": "array", "items": TEXT}, "data": table}}  # fmt: skip
    forms = {"dataframe_split": split, "dataframe_records": {"type": "array", "items": {"type": "object"}},
             "instances": {"type": "array"}, "inputs": {"type": ["object", "array"]}}  # fmt: skip
    bodies = [{"type": "object", "required": [name], "properties": {name: form}} for name, form in forms.items()]
    answer = {"type": "object", "required": ["predictions"],
              "properties": {"predictions": {"type": "array", "items": {"type": "number"}}}}  # fmt: skip
    parameter = {"name": "model", "in": "query", "schema": {"type": "string", "maxLength": LONGEST_TEXT},
                 "description": "Needed when the server has several."}  # fmt: skip
    return {
        "summary": "The protocol of MLflow's scoring server.",
        "parameters": [parameter],
        "requestBody": _body({"anyOf": bodies}),
        "responses": _responses(answer, MLFLOW_ERROR),
    }


def _get(summary: str, answer: Schema, names: list[str] | None = None, other: int | None = None) -> Schema:
    responses = {"200": _response("The answer.", answer)}
    if other is not None:
        responses[str(other)] = _response("It is not so now.", {})
    if names is None:
        return {"summary": summary, "responses": responses}
    responses |= {"404": _response(REFUSALS[404], LINE_ERROR), "503": _response(REFUSALS[503], {})}
    return {"summary": summary, "parameters": [_model(names)], "responses": responses}


def _plain(summary: str, other: int | None = None) -> Schema:
    statuses = {200: "The answer."} | ({} if other is None else {other: "It is not so now."})
    content = {"text/plain": {"schema": TEXT}}
    responses = {str(status): {"description": why, "content": content} for status, why in statuses.items()}
    return {"summary": summary, "responses": responses}


def _model(names: list[str]) -> Schema:
    return {"name": "model", "in": "path", "required": True, "schema": {"enum": names} if names else TEXT}


def _body(schema: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _responses(answer: Schema, error: Schema) -> Schema:
    told = {str(status): _response(why, error) for status, why in REFUSALS.items()}
    return {"200": _response("The answer.", answer), **told}


def _response(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
