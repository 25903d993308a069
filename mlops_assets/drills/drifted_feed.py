"""Days unlike any that the model was trained on: most flights land an hour later, and the rows are sound.

Here: the incident and what must be seen of it. Belongs here: nothing else.
"""

from mlops_assets.assets.partitions import shift
from mlops_assets.contracts import Arm
from mlops_assets.drills.drill import Drill, Forbidden, Phase, Source, Wanted
from mlops_assets.drills.feeds import later
from mlops_assets.drills.promises import TURNED_AWAY
from mlops_assets.drills.scene import Scene

LATER_MINUTES = 60
BAD_DAYS, DAYS = 3, 4


def play(scene: Scene) -> None:
    """Land the days, live them until a challenger scores beside the champion."""
    system, source = scene.system, scene.system.deployment.source
    scene.known["good"] = system.champion().digest
    days = [shift(system.landed, ahead) for ahead in range(1, BAD_DAYS + 1)]
    scene.inject(f"{days[0]} to {days[-1]} come with most landings {LATER_MINUTES} minutes later")
    for day in days:
        source.land(day, later(source.day(day), source.references(), day, LATER_MINUTES))
    arms = system.deployment.promotions.arms
    scene.live_until("a challenger", lambda: Arm.SHADOW in arms(system.use_case.name), DAYS)
    versions = system.deployment.registry.versions(system.use_case.name)
    scene.practise("why", system.landed)
    scene.practise("history")
    if len(versions) > 1:
        scene.practise("card", "diff", str(system.champion().version), str(versions[-1].version))


DRIFTED_FEED = Drill(
    name="drifted_feed",
    injects=f"most landings of {BAD_DAYS} days come {LATER_MINUTES} minutes later, in rows that keep their contract",
    runbook="retrain",
    play=play,
    days=DAYS,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="the monitor performance says that the champion is worse than it should be",
            source=Source.MONITORS,
            facts={"name": "performance", "verdict": "alarm"},
        ),
        Wanted(
            phase=Phase.DECISION,
            promise="the decision is to train a challenger, once the alarm has persisted",
            source=Source.DECISIONS,
            facts={"action": "retrain"},
            says="performance",
        ),
        Wanted(
            phase=Phase.TOLD,
            promise="people are told, with the runbook of a retraining",
            source=Source.ALERTS,
            facts={"runbook": "retrain.md", "over": "no"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="a challenger that knows these days scores beside the champion, by the sensor",
            source=Source.HISTORY,
            facts={"kind": "shadow", "by": "sensor:{use_case}__remediation"},
        ),
    ),
    forbidden=(
        Forbidden(
            promise="the champion is rolled back because of a storm",
            source=Source.HISTORY,
            facts={"kind": "rolled_back"},
        ),
        Forbidden(promise="sound rows are held", source=Source.DECISIONS, facts={"action": "hold"}),
        TURNED_AWAY,
    ),
)
