"""The registry is gone, and nobody starts it again by itself.

Here: the incident and what must be seen of it. Belongs here: nothing else.
"""

from mlops_assets.drills.drill import Drill, Phase, Source, Wanted
from mlops_assets.drills.promises import ANOTHER_CHAMPION, TURNED_AWAY
from mlops_assets.drills.scene import Scene, just_before


def play(scene: Scene) -> None:
    """Kill it, live a day without it; then a person starts it and runs the day again."""
    system = scene.system
    scene.known["good"] = system.champion().digest
    at = just_before()
    pid = scene.kill("registry")
    scene.inject(f"the registry (process {pid}) is killed", at)
    scene.until("the server notices", lambda: not scene.seen(Source.SERVER, problems=""))
    day = system.live()
    scene.practise("status", codes=(1,))
    scene.practise("alerts")
    scene.until_told("silence/server/registry")
    scene.notes.append("mended by hand: the registry is started, and the failed run of the day is executed again")
    system.start_services()
    scene.until("the server has no problem", lambda: scene.seen(Source.SERVER, problems=""))
    system.day_again(day)


REGISTRY_DOWN = Drill(
    name="registry_down",
    injects="the registry is killed and stays down, as one that somebody else runs does",
    runbook="failed_run",
    play=play,
    days=1,
    settings={"start_services": False},
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="the server says that the registry cannot be asked",
            source=Source.SERVER,
            says="the registry cannot be asked",
        ),
        Wanted(
            phase=Phase.DECISION,
            promise="the run of the day fails: nothing is concluded without a registry",
            source=Source.RUNS,
            facts={"job": "{domain}__day", "status": "FAILURE"},
        ),
        Wanted(
            phase=Phase.TOLD,
            promise="the dead-man's sensor tells people that the registry is silent",
            source=Source.ALERTS,
            facts={"key": "silence/server/registry", "runbook": "silence.md", "over": "no"},
        ),
        Wanted(
            phase=Phase.TOLD,
            promise="people are told of the failed run, with its runbook",
            source=Source.ALERTS,
            facts={"runbook": "failed_run.md", "over": "no", "severity": "critical"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="the server has no problem any more",
            source=Source.SERVER,
            facts={"problems": "", "champion": "{good}"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="the same run succeeds",
            source=Source.RUNS,
            facts={"job": "{domain}__day", "status": "SUCCESS"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="people are told that the failed run is over",
            source=Source.ALERTS,
            facts={"runbook": "failed_run.md", "over": "yes"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="people are told that the registry speaks again",
            source=Source.ALERTS,
            facts={"key": "silence/server/registry", "over": "yes"},
        ),
    ),
    forbidden=(TURNED_AWAY, ANOTHER_CHAMPION),
)
