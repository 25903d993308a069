"""``make bench-loop``: from a materialized bad decision to the server answering with the old digest, and what follows.

Here: one rollback after the other, the instants of each, and what they are compared with. Does not belong here: the
running system (``benchmarks.loop_dagster``).
"""

import argparse
import datetime as dt
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.loop_dagster import LoopBroken, System, until
from benchmarks.measure import median
from benchmarks.report import Row, against, write
from mlops_assets.adapters.deployment import Deployment
from mlops_assets.adapters.registry import read_files
from mlops_assets.adapters.releases import Cause
from mlops_assets.assets.address import MONITORING, REMEDIATION, automation, key
from mlops_assets.assets.files import decision_of, folder, put_judgement
from mlops_assets.contracts import Action, Arm, Judgement, UseCase, Verdict

TEXT = """
`mlops up` on the state of the sample (three weeks of history, one live day): Dagster's daemon and web server, the
model server and the registry as processes of their own, sensors as shipped. Then {rounds} rollbacks one after the
other. For each of them

- an operator makes another version champion (`mlops promote` does the same), and the server is seen answering with it;
- the verdict of the monitor `predecessor_regret` about it is put on record. That verdict is made up: a model that is
  really worse takes a day of outcomes to be found out, and how well that works is another benchmark's business;
- the asset `monitoring/decision` is materialized by a run that the web server is asked for. It applies the shipped
  decision table to what is on record and concludes `roll_back`. **The clock starts with its event in Dagster's log**;
- nobody does anything more: the sensor's tick moves the alias and nudges the server, the run that it asks for looks at
  the server and writes the evidence. The server is asked twenty times a second which digest answers.

The figures are instants of Dagster's log, of the promotion history and of the server's own report. **Tick**: the daemon
looks every 5 s, so this is the wait for its next look. **Move**: the line in the promotion history, after every file of
the version that is restored was read back from the registry and held against its digest. **Server**: it reports the old
digest as champion; between the two are the commit of the history, the alias, the nudge and the swap. **Run**: its first
step begins to work, which is the soonest at which a run could have moved anything. **Evidence**: the asset
`remediation/rollback` is materialized. The first rollback finds the sensors' process as `mlops up` left it.
"""
GOAL_S = 15.0
"""One interval of the sensor (5 s) and 10 s."""
WAIT_S = 120.0
ROUNDS = 6


def main(rounds: int) -> None:
    """Measure and write."""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    with tempfile.TemporaryDirectory(prefix="bench-loop-") as place, System(Path(place)) as system:
        here = Deployment(system.settings)
        (use_case, *_) = system.settings.use_cases
        bad = [another_version(here, use_case, number) for number in range(rounds)]
        told = [one_rollback(system, here, use_case, version) for version in bad]
    write("loop", "From a bad decision to the old digest", rows_of(told), TEXT.format(rounds=rounds), {"rounds": told})


def another_version(here: Deployment, use_case: UseCase, number: int) -> int:
    """The second version's bytes once more, as a version of its own: no decision is about the same one twice."""
    registry, name = here.registry, use_case.name
    second = registry.version(name, 2)
    with tempfile.TemporaryDirectory() as place:
        bundle = read_files(registry.download(name, 2, Path(place) / "bundle"))
    documents = {path: registry.document(name, 2, path) for path in registry.documents(name, 2)}
    run_id = registry.open_run(f"bench-loop-{number}")
    return registry.register(name, run_id, bundle, documents, second.digest, {"cutoff_day": second.cutoff_day}).version


def one_rollback(system: System, here: Deployment, use_case: UseCase, version: int) -> Mapping[str, float]:
    """Make a version champion, have it found worse, and wait: the instants, in seconds after the decision."""
    name, day = use_case.name, str(use_case.domain.last_day)
    decision, rollback = key(use_case, MONITORING, "decision"), key(use_case, REMEDIATION, "rollback")
    good = here.promotions.arms(name)[Arm.CHAMPION]
    bad = here.registry.version(name, version)
    cause = Cause(id=f"bench/{version}", day=day, by="operator:bench", reason="to see it rolled back")
    here.releases.enter(name, version, bad.digest, Arm.CHAMPION, cause=cause, kind="override")
    here.endpoint.wait_for(name, Arm.CHAMPION, bad.digest)
    put_judgement(here.artifacts, use_case, worse(day, version, bad.digest))
    undecide(system, use_case, day)
    asked_at = time.time()
    system.materialize(decision, day)
    decided_at = until("the decision", lambda: system.made_at(decision, asked_at), WAIT_S)
    made = decision_of(here.artifacts, use_case, day)
    if made is None or (made.action, made.version) != (Action.ROLL_BACK, version):
        raise LoopBroken(f"decided was {made and (made.action, made.version, made.reason)}")
    until("the old digest", lambda: champion(here, name) == good.digest, WAIT_S)
    answers_at = time.time()
    evidence_at = until("the evidence", lambda: system.made_at(rollback, decided_at), WAIT_S)
    until("the end of its run", system.quiet, WAIT_S)
    run = system.run_of(f"{name}/{Action.ROLL_BACK}/{day}/{version}")
    if run is None:
        raise LoopBroken("no run was asked for")
    run_id = run.dagster_run.run_id
    ticks = system.ticks(automation(use_case, "remediation"))
    instants = {
        "tick": next(tick.timestamp for tick in ticks if run_id in tick.run_ids),
        "move": instant(here.promotions.arms(name)[Arm.CHAMPION].at),
        "server": answers_at,
        "run": system.began_at(run_id) or evidence_at,
        "evidence": evidence_at,
    }
    print(", ".join(f"{step} {at - decided_at:+.2f} s" for step, at in instants.items()), flush=True)
    return {step: at - decided_at for step, at in instants.items()}


def undecide(system: System, use_case: UseCase, day: str) -> None:
    """As if nobody had decided about the day: a decision that is made again stays about the champion of its first."""
    kept = system.settings.state / "artifacts" / folder(use_case, MONITORING, "decision", day)
    for path in kept.parent.glob(f"{kept.name}*"):
        path.unlink()


def worse(day: str, version: int, digest: str) -> Judgement:
    """What the monitor would say of a champion that is worse than the one before it."""
    return Judgement(
        monitor="predecessor_regret",
        day=day,
        verdict=Verdict.ALARM,
        reason="made up by the benchmark: worse than the version before it",
        champion_version=version,
        champion_digest=digest,
    )


def champion(here: Deployment, name: str) -> str | None:
    """The digest that the server reports."""
    held = here.endpoint.status(name).arm(Arm.CHAMPION)
    return held.digest if held else None


def instant(told: str) -> float:
    """Epoch seconds of an ISO instant."""
    return dt.datetime.fromisoformat(told).timestamp()


def rows_of(told: Sequence[Mapping[str, float]]) -> list[Row]:
    """The whole, its parts, and the same without the move in the tick."""
    server = [one["server"] for one in told]
    spans = {
        "decision to tick": [one["tick"] for one in told],
        "tick to move": [one["move"] - one["tick"] for one in told],
        "move to server": [one["server"] - one["move"] for one in told],
        "server to run": [one["run"] - one["server"] for one in told],
        "run to evidence": [one["evidence"] - one["run"] for one in told],
    }
    run = Row(name="decision to run, median", value=median([one["run"] for one in told]), unit="s")
    whole = Row(name="decision to server, median", value=median(server), unit="s")
    most = max(server)
    return [
        run,
        Row(**{**vars(whole), "ratio": against(whole, run), "against": run.name}),
        Row(
            name=f"decision to server, the longest of {len(told)}",
            value=most,
            unit="s",
            goal=f"at most {GOAL_S:g}",
            met=most <= GOAL_S,
        ),
        Row(name="decision to server, the first", value=server[0], unit="s"),
        *[
            Row(
                name=f"{name}, median",
                value=median(figures),
                unit="s",
                note=f"{min(figures):.2f} to {max(figures):.2f}",
            )
            for name, figures in spans.items()
        ],
        Row(name="decision to evidence, median", value=median([one["evidence"] for one in told]), unit="s"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="Rollbacks, one after the other.")
    main(parser.parse_args().rounds)
