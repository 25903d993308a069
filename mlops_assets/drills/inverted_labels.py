"""A source that tells the outcomes the wrong way round, in rows that keep their contract.

Here: the incident and what must be seen of it. Belongs here: nothing else.
"""

from mlops_assets.drills.drill import Drill, Forbidden, Phase, Source, Wanted
from mlops_assets.drills.feeds import inverted
from mlops_assets.drills.promises import TURNED_AWAY
from mlops_assets.drills.scene import Scene


def play(scene: Scene) -> None:
    """Land the broken day, live it; then the source sends it again, and the day is made anew."""
    system, source, day = scene.system, scene.system.deployment.source, scene.system.next_day
    scene.inject(f"the landings of {day} come with their labels inverted")
    true = source.day(day)
    source.land(day, inverted(true, source.references(), day))
    system.live()
    scene.practise("why", day)
    scene.practise("impact", f"{system.use_case.domain.name}/datasets/arrivals:{day}")
    scene.practise("alerts")
    scene.notes.append(f"mended by hand: the source sends {day} again, and the day's partition is materialized anew")
    source.land(day, true)
    system.day_again(day)
    # What was served on that day was made of the broken rows; a monitor may hold it for that, and judge the next anew.
    scene.live_until("a decision that is no hold", lambda: not scene.is_held(), 1)


INVERTED_LABELS = Drill(
    name="inverted_labels",
    injects="a day's outcomes come inverted, late as on time and on time as late, in rows that keep their contract",
    runbook="hold",
    play=play,
    days=2,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="the monitor label_sanity says that labels contradict the departures",
            source=Source.MONITORS,
            facts={"name": "label_sanity", "verdict": "alarm"},
        ),
        Wanted(
            phase=Phase.DECISION,
            promise="the decision is to hold",
            source=Source.DECISIONS,
            facts={"action": "hold"},
            says="label_sanity",
        ),
        Wanted(
            phase=Phase.TOLD,
            promise="people are told, with the runbook of a hold",
            source=Source.ALERTS,
            facts={"runbook": "hold.md", "over": "no"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="of the day that was sent again, label_sanity has nothing to say",
            source=Source.MONITORS,
            facts={"name": "label_sanity", "verdict": "ok"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="the decision about the newest day is no hold any more",
            source=Source.DECISIONS,
            facts={"action": "not hold"},
        ),
    ),
    forbidden=(
        Forbidden(
            promise="a model is trained because of broken labels",
            source=Source.DECISIONS,
            facts={"action": "retrain"},
        ),
        Forbidden(
            promise="a champion is rolled back because of broken labels",
            source=Source.HISTORY,
            facts={"kind": "rolled_back"},
        ),
        TURNED_AWAY,
    ),
)
