"""A version whose file changed by a byte in the artifact store, and which is put in all the same.

Here: the incident and what must be seen of it. Belongs here: nothing else.
"""

from pathlib import Path

from mlops_assets.contracts import Arm, ModelVersion
from mlops_assets.drills.drill import Drill, Phase, Source, Wanted
from mlops_assets.drills.promises import ANOTHER_CHAMPION, TURNED_AWAY
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.scene import BY, Scene
from mlops_assets.drills.system import System
from mlops_assets.ml.bundles import SIGNATURE_FILE


def play(scene: Scene) -> None:
    """Flip a byte; try the door, which refuses; move the alias past the door, as somebody in MLflow's pages could."""
    system, name = scene.system, scene.system.use_case.name
    good, victim = system.champion(), _without_an_arm(system)
    scene.known |= {"good": good.digest, "version": str(victim.version)}
    file = _model_file(system, victim)
    flip(file)
    refused = system.mlops("promote", str(victim.version), "--by", BY, "--reason", "a drill: promote a damaged version")
    scene.observe(
        "`mlops promote` refuses the damaged version", refused.code != 0, f"exit code {refused.code}: {refused.output}"
    )
    scene.inject(
        f"a byte of version {victim.version} is flipped in the artifact store, and the alias champion is moved to it "
        "in the registry itself, past every door"
    )
    system.deployment.registry.set_alias(name, Arm.CHAMPION, victim.version)
    scene.until("the server refuses it", lambda: "not served" in _problems(scene))
    scene.until_told("silence/trouble")
    scene.practise("status", codes=(0, 1))
    scene.practise("verify", str(victim.version), codes=(1,))
    done = system.mlops("promote", str(good.version), "--by", BY, "--reason", "the alias was moved by hand")
    scene.notes.append(f"mended by hand: the aliases follow the history again. {done.output}")
    scene.until("the server has no problem", lambda: scene.seen(Source.SERVER, problems=""))
    system.settle()


def flip(file: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


def _problems(scene: Scene) -> str:
    told = [moment.facts.get("problems", "") for moment in scene.watch.moments if moment.source is Source.SERVER]
    return told[-1] if told else ""


def _without_an_arm(system: System) -> ModelVersion:
    """The newest version that nobody answers with; one is trained where there is none."""
    versions = system.deployment.registry.versions(system.use_case.name)
    free = [version for version in versions if not version.aliases]
    # Inverted labels keep it out of the arms: the gates refuse it.
    return free[-1] if free else system.train("a drill: a version that its gates refuse", invert_label_share=0.6)


def _model_file(system: System, version: ModelVersion) -> Path:
    """The largest file of its bundle in the artifact store, which is the model's."""
    store = system.settings.mlflow / "artifacts"
    folders = [f for f in store.rglob(version.digest) if f.parent.name == "bundle" and version.mlflow_run_id in f.parts]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and file.name != SIGNATURE_FILE]
    if not files:
        raise DrillFailed(f"the files of version {version.version} are not below {store}")
    return max(files, key=lambda file: file.stat().st_size)


CORRUPTED_ARTIFACT = Drill(
    name="corrupted_artifact",
    injects="one bit of a version's file flips in the artifact store, and its alias is set to champion past the door",
    runbook="server_problem",
    play=play,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="the server says that it does not serve the version",
            source=Source.SERVER,
            says="champion version {version} is not served",
        ),
        Wanted(
            phase=Phase.TOLD,
            promise="people are told, with the runbook of a problem of the server",
            source=Source.ALERTS,
            facts={"key": "silence/trouble", "runbook": "server_problem.md", "over": "no"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="the server follows the registry without a problem",
            source=Source.SERVER,
            facts={"problems": "", "champion": "{good}"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="people are told that it is over",
            source=Source.ALERTS,
            facts={"key": "silence/trouble", "over": "yes"},
        ),
    ),
    forbidden=(ANOTHER_CHAMPION, TURNED_AWAY),
)
