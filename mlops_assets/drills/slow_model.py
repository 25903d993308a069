"""A model that is as good as another and takes far too long: every request pays for a network of idle layers.

Here: the incident and what must be seen of it. Belongs here: nothing else.

A forest that slow would be too large for any registry. So a real logistic model is trained, and a chain of products
with one matrix is put behind it in its ONNX graph, of which only zeros come: the same scores to the last bit.
"""

from dataclasses import replace

from mlops_assets.adapters.documents import MANIFEST
from mlops_assets.assets.address import MODELS, RELEASES, TRAINING, key
from mlops_assets.assets.models.workbench import bundle_of, evaluation_at, manifest_at, place
from mlops_assets.contracts import ModelVersion, to_json
from mlops_assets.drills.drill import Drill, Forbidden, Phase, Source, Wanted
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.scene import BY, Scene
from mlops_assets.drills.system import System
from mlops_assets.ml.bundles import MODEL_FILES, bundle_digest
from mlops_assets.ml.gates import IN_TIME

WIDTH, LAYERS = 512, 1000
"""A quarter of a millisecond for each layer on a quiet core, so a quarter of a second for a request."""
DAYS = 4
BEFORE = ((TRAINING, "training_set"), (MODELS, "parameter_study"), (MODELS, "model"))
AFTER = (
    *((MODELS, name) for name in ("evaluation", "explanations", "drift_reference", "model_card", "registered_version")),
    (RELEASES, "shadow"),
)


def play(scene: Scene) -> None:
    """Train it, slow it down before its gates see it, see it refused, force it in, live on until it is gone."""
    system = scene.system
    good, slow = system.champion(), _slow_version(system)
    gates = {g.name: g for g in evaluation_at(system.deployment.artifacts, system.use_case, slow.cutoff_day).gates}
    scene.observe("the gate of the server's time refuses it", not gates[IN_TIME].passed, gates[IN_TIME].reason)
    scene.observe("no arm holds it", not slow.aliases, f"version {slow.version} holds {slow.aliases or 'no arm'}")
    scene.known |= {"good": good.digest, "version": str(slow.version)}
    scene.inject(f"version {slow.version}, far slower than version {good.version}, is forced to champion")
    done = system.mlops("promote", str(slow.version), "--by", BY, "--reason", "a drill: force a slow version in")
    if done.code:
        raise DrillFailed(f"the slow version was not promoted: {done.output}")
    scene.until("the slow version answers", lambda: scene.seen(Source.ANSWERS, digest=slow.digest))
    scene.live_until("the rollback", lambda: system.champion().digest == good.digest, DAYS)
    scene.until("the good version answers", lambda: scene.seen(Source.ANSWERS, digest=good.digest))
    scene.practise("why", system.landed)
    scene.practise("history", "--champions")
    scene.practise("status", codes=(0, 1))


def _slow_version(system: System) -> ModelVersion:
    """A version whose bundle was slow from its evaluation on, through all assets that every version goes through."""
    use_case, artifacts, day = system.use_case, system.deployment.artifacts, system.landed
    model = key(use_case, MODELS, "model")
    knobs = {"family": "logistic", "because": "a drill: a model that takes far too long"}
    config = {"ops": {model.to_python_identifier(): {"config": knobs}}}
    system.say("a slow model is trained")
    made = system.materialize([key(use_case, *name) for name in BEFORE], day, config)
    where, file = place(use_case, "model", day), MODEL_FILES["onnx"]
    artifacts.put(f"{where}/{file}", slowed(artifacts.get(f"{where}/{file}"), WIDTH, LAYERS))
    digest = bundle_digest(bundle_of(artifacts, use_case, day))
    manifest = replace(manifest_at(artifacts, use_case, day), model_digest=digest)
    artifacts.put(f"{where}/{MANIFEST}", to_json(manifest).encode())
    made &= system.materialize([key(use_case, *name) for name in AFTER], day)
    system.settle()
    found = system.deployment.registry.by_digest(use_case.name, digest)
    if found is None:
        raise DrillFailed(f"the slow version was not registered; its runs {'succeeded' if made else 'failed'}")
    return found


def slowed(content: bytes, width: int, layers: int) -> bytes:
    """The same model in ONNX, after ``layers`` products of ``width`` by ``width`` for each request, of any rows."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(content)
    graph, (told,) = model.graph, model.graph.output
    columns = told.type.tensor_type.shape.dim[1].dim_value
    for node in graph.node:
        node.output[:] = ["told" if name == told.name else name for name in node.output]
    constants = {
        "idle_in": np.zeros((columns, width)),
        "idle": np.eye(width),
        "idle_out": np.zeros((width, columns)),
        "idle_first": np.array([0]),
        "idle_second": np.array([1]),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    # Of the first row only, so that many rows at once cost no more: a request is slow, an evaluation is not.
    nodes = [helper.make_node("Slice", ["told", "idle_first", "idle_second", "idle_first"], ["row"])]
    nodes.append(helper.make_node("MatMul", ["row", "idle_in"], ["layer0"]))
    nodes += [helper.make_node("MatMul", [f"layer{k}", "idle"], [f"layer{k + 1}"]) for k in range(layers)]
    nodes.append(helper.make_node("MatMul", [f"layer{layers}", "idle_out"], ["nothing"]))
    nodes.append(helper.make_node("Add", ["told", "nothing"], [told.name]))
    graph.node.extend(nodes)
    return model.SerializeToString(deterministic=True)


SLOW_MODEL = Drill(
    name="slow_model",
    injects="a model with the right scores that takes a quarter of a second for each is forced past its gates",
    runbook="roll_back",
    play=play,
    days=DAYS,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="the monitor server_health says that the server got slow",
            source=Source.MONITORS,
            facts={"name": "server_health", "verdict": "alarm", "champion_version": "{version}"},
        ),
        Wanted(
            phase=Phase.DECISION,
            promise="the decision is to roll back, once the alarm has persisted",
            source=Source.DECISIONS,
            facts={"action": "roll_back", "version": "{version}"},
            says="server_health",
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="callers are answered by the old digest",
            source=Source.ANSWERS,
            facts={"answered": "yes", "digest": "{good}"},
        ),
        Wanted(
            phase=Phase.TOLD,
            promise="people are told, with the runbook of a rollback",
            source=Source.ALERTS,
            facts={"runbook": "roll_back.md", "severity": "critical", "over": "no"},
        ),
    ),
    forbidden=(
        Forbidden(
            promise="a model is trained because the server is slow",
            source=Source.DECISIONS,
            facts={"action": "retrain", "version": "{version}"},
        ),
    ),
)
