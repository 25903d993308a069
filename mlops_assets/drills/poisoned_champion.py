"""A champion that should never have been one: trained on inverted labels, refused by the gates, forced in by hand.

Here: the incident and what must be seen of it. Belongs here: nothing else.
"""

from mlops_assets.drills.drill import Drill, Forbidden, Phase, Source, Wanted
from mlops_assets.drills.promises import TURNED_AWAY
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.scene import BY, Scene

INVERTED_SHARE = 0.6
"""Most of them: the evidence against it suffices after its first day."""
DAYS = 5


def play(scene: Scene) -> None:
    """Train it, see it refused, force it in, live on until it is gone."""
    system = scene.system
    good = system.champion()
    bad = system.train(f"a drill: {INVERTED_SHARE:.0%} of the labels inverted", invert_label_share=INVERTED_SHARE)
    scene.observe("the gates refuse it", not bad.aliases, f"version {bad.version} holds {bad.aliases or 'no arm'}")
    scene.known |= {"good": good.digest, "bad": bad.digest, "version": str(bad.version)}
    scene.inject(f"version {bad.version}, trained on inverted labels, is forced to champion past its gates")
    done = system.mlops("promote", str(bad.version), "--by", BY, "--reason", "a drill: force a bad version in")
    if done.code:
        raise DrillFailed(f"the bad version was not promoted: {done.output}")
    scene.until("the bad version answers", lambda: scene.seen(Source.ANSWERS, digest=bad.digest))
    scene.live_until("the rollback", lambda: system.champion().digest == good.digest, DAYS)
    scene.until("the good version answers", lambda: scene.seen(Source.ANSWERS, digest=good.digest))
    day = system.landed
    for words in (("history", "--champions"), ("why", day), ("lineage", str(bad.version))):
        scene.practise(*words)
    scene.practise("card", "show", str(bad.version))
    scene.practise("status", codes=(0, 1))


POISONED_CHAMPION = Drill(
    name="poisoned_champion",
    injects=f"a model trained on {INVERTED_SHARE:.0%} inverted labels is forced to champion, past gates and canary",
    runbook="roll_back",
    play=play,
    days=DAYS,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="the monitor predecessor_regret says that it is worse than the version before it",
            source=Source.MONITORS,
            facts={"name": "predecessor_regret", "verdict": "alarm", "champion_version": "{version}"},
        ),
        Wanted(
            phase=Phase.DECISION,
            promise="the decision is to roll back",
            source=Source.DECISIONS,
            facts={"action": "roll_back", "version": "{version}"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="the history restores the version before it, by the sensor",
            source=Source.HISTORY,
            facts={"kind": "restored", "digest": "{good}", "by": "sensor:{use_case}__remediation"},
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
            promise="nothing is trained because of a bad version",
            source=Source.DECISIONS,
            facts={"action": "retrain", "version": "{version}"},
        ),
        TURNED_AWAY,
    ),
)
