"""What a live test does: an empty state, days that turn bad, a bad champion forced in, a restart; then what was seen.

Here: the acts, in order, and the record of what the running system said. Belongs here: acting and waiting. Does not:
judging the record (``test_live_loop``).

Feed, training, release, retrain, rollback and quarantine are nobody's act here: the sensors of ``dagster dev`` do
them. A person acts four times: has a day judged again, cancels a training, trains a model on inverted labels, promotes
it past gates and canary.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from mlops_assets.adapters.source import LandedSource, NycFlights
from mlops_assets_tests.live.bad_days import bad_day, broken_day
from mlops_assets_tests.live.dagster_dev import DagsterDev, Place
from mlops_assets_tests.live.model_server import MODEL, Watch, answer_of, champion_at, metadata_of, mlflow_statuses
from mlops_assets_tests.live.web_ui import PARTITION, Made, Run
from mlops_assets_tests.webhook import Webhook

FEED_FROM, LIVE_FROM = "2013-02-15", "2013-04-01"
"""Six weeks and a half of history: gates hold with it, and it lands and trains in half a minute."""
BAD_DAYS = ("2013-04-01", "2013-04-02", "2013-04-03")
BROKEN_DAY = "2013-04-06"
LAST_DAY = "2013-04-07"
"""The days after the bad ones are the real April's, on which a model of inverted labels shows what it is; the labels of
the broken one contradict themselves. While the last one is lived, ``dagster dev`` is told to end."""
INVERTED = {"invert_label_share": 0.6, "because": "a live test: most labels inverted on purpose"}
SILENCE = "silence__notice"
"""Looks every half minute, and keeps in its cursor when it did."""
ASSETS = (
    "flights/datasets/landing",
    "arrival_delay/monitoring/decision",
    "arrival_delay/remediation/retrain",
    "arrival_delay/remediation/rollback",
    "arrival_delay/remediation/quarantine",
    "arrival_delay/monitoring/challenger_regret",
    "arrival_delay/releases/champion",
    "arrival_delay/releases/deployment",
)


PATIENCE = 3


@dataclass
class Record:
    """What the running system said."""

    digests: dict[str, str] = field(default_factory=dict)
    """``first`` and ``bad``: the digests that the server reported at GET /metadata when they became champion."""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What POST /predict answered: ``first``, ``bad``, ``after``."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """GET /metadata at the end."""
    bad_version: int = 0
    canceled_run: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    lineage: dict[str, Any] = field(default_factory=dict)
    runs_before: list[Run] = field(default_factory=list)
    """When ``dagster dev`` was stopped in the middle."""
    sensors_before: dict[str, Any] = field(default_factory=dict)
    sensors_after: dict[str, Any] = field(default_factory=dict)
    """At the first look after the restart."""
    runs: list[Run] = field(default_factory=list)
    sensors: dict[str, Any] = field(default_factory=dict)
    mlflow: dict[str, str] = field(default_factory=dict)
    """Dagster run -> status of its MLflow run, as MLflow's server says."""
    made: dict[str, list[Made]] = field(default_factory=dict)
    observed: list[Made] = field(default_factory=list)
    """What the sensor put on record of the rollback that its tick made."""
    judged_again: str = ""
    """The run that judged the candidate again on the day on which it entered the shadow."""
    champions: list[tuple[float, str]] = field(default_factory=list)
    """Instant (epoch seconds) and digest of every change of champion that the server showed after the restart."""
    rollback: dict[str, Any] = field(default_factory=dict)
    """Instants of the rollback's run."""
    last_day: dict[str, Any] = field(default_factory=dict)
    """What the instance kept of the last day, in the middle of which ``dagster dev`` was told to end."""
    stop_seconds: list[float] = field(default_factory=list)
    alerts: list[dict[str, str]] = field(default_factory=list)
    """What a webhook was told, in the order in which it came."""


class Story:
    """Plays the acts; ``record`` fills up meanwhile."""

    def __init__(self, place: Place, say: Callable[[str], None]) -> None:
        self.place, self.record = place, Record()
        self._webhook = Webhook()
        place.alert_address = self._webhook.address
        self._dev = DagsterDev(place)
        self._began, self._print = time.monotonic(), say
        self._told: set[str] = set()

    def play(self) -> None:
        """Every act. Raises AssertionError that says what did not come in time, with the log's end and failures."""
        self._webhook.start()
        try:
            self._bad_days()
            self._inconclusive()
            self._bad_champion()
            self._restart()
            self._rolled_back()
            self._broken_day()
            self._look()
            self._stop_in_the_middle_of_a_day()
        except BaseException as error:
            self._say(f"FAILED: {error}")
            self._diagnose()
            raise
        finally:
            self._dev.kill()
            self._webhook.stop()
            self.record.alerts = self._webhook.heard

    def _bad_days(self) -> None:
        source = LandedSource(self.place.state / "landing", NycFlights())
        for day in BAD_DAYS:
            source.land(day, bad_day(source, day))
        source.land(BROKEN_DAY, broken_day(source, BROKEN_DAY))
        self._start(BAD_DAYS[-1])
        self._until("the first champion", lambda: self._made("releases/champion"), 150)
        self.record.digests["first"] = self._champion() or ""
        self.record.answers["first"] = self._ask()
        self._until("a retrain by the sensor", lambda: self._made("remediation/retrain"), 150)
        self._say(f"  because {self._made('remediation/retrain')[0].facts['reason']}")
        self._until("quiet after the bad days", self._quiet, 120)

    def _inconclusive(self) -> None:
        """The challenger has scored nothing yet: a day that is judged again then says nothing about it."""
        day = self._made("remediation/retrain")[0].partition
        self.record.judged_again = self._dev.ui.materialize(f"{MODEL}/monitoring/challenger_regret", day)
        self._until("an inconclusive verdict, heard by the sensor", lambda: self._paused(), 90)

    def _paused(self) -> bool:
        ticks = self._dev.ui.sensors()[f"{MODEL}__release"]["ticks"]
        return any(": pause: inconclusive" in (tick["skipReason"] or "") for tick in ticks)

    def _bad_champion(self) -> None:
        self.record.canceled_run = self._train()
        self._until(
            "the training's MLflow run", lambda: "mlflow/run_id" in self._run(self.record.canceled_run).tags, 60
        )
        self._dev.ui.terminate(self.record.canceled_run)
        self._until("the end of the canceled training", lambda: self._run(self.record.canceled_run).over, 30)
        trained = self._train()
        self._until("a version of inverted labels", lambda: self._run(trained).over, 60)
        self._until("its refusal", self._quiet, 60)
        self.record.bad_version = max(line["version"] for line in self._history())
        words = ("--by", "live-test", "--reason", "force it in, to see the sensor roll it back")
        self._say(self.place.mlops("promote", str(self.record.bad_version), *words).strip())
        self._until(
            "the bad champion answers", lambda: self._champion() not in (None, self.record.digests["first"]), 30
        )
        self.record.digests["bad"] = self._champion() or ""
        self.record.answers["bad"] = self._ask()

    def _restart(self) -> None:
        self.record.runs_before, self.record.sensors_before = self._dev.ui.runs(), self._dev.ui.sensors()
        self._stop()
        self._start(LAST_DAY)
        self.record.sensors_after = self._dev.ui.sensors()

    def _rolled_back(self) -> None:
        with Watch(self._champion) as watch:
            self._until("a rollback by the sensor", lambda: self._made("remediation/rollback"), 150)
            self.record.answers["after"] = self._ask()
            rolled = self._made("remediation/rollback")[0]
            self._say(f"  because {rolled.facts['reason']}")
            self._until("the day after", lambda: self._decided() > rolled.partition, 90)
        self.record.champions = watch.seen

    def _broken_day(self) -> None:
        self._until("a quarantine by the sensor", lambda: self._made("remediation/quarantine"), 120)
        self._say(f"  because {self._made('remediation/quarantine')[0].facts['reason']}")

    def _stop_in_the_middle_of_a_day(self) -> None:
        self._until(f"{LAST_DAY} is lived", lambda: self._lives(LAST_DAY), 60)
        self._stop()
        with dg.DagsterInstance.from_config(str(self.place.home)) as instance:
            (run,) = instance.get_runs(dg.RunsFilter(job_name="flights__day", tags={PARTITION: LAST_DAY}))
            event = instance.get_latest_materialization_event(dg.AssetKey(ASSETS[0].split("/")))
        landed = event.asset_materialization if event else None
        facts = {name: value.value for name, value in landed.metadata.items()} if landed else {}
        self.record.last_day = {"status": run.status.value, "day": landed and landed.partition, **facts}

    def _lives(self, day: str) -> bool:
        """A run of the day works since more than two seconds: requests are being sent."""
        runs = [run for run in self._dev.ui.runs() if run.partition == day and run.started]
        return any(time.time() - (run.started or 0.0) > 2 for run in runs)

    def _look(self) -> None:
        record, ui = self.record, self._dev.ui
        record.metadata = metadata_of(self.place.settings.endpoint_url)
        record.history = self._history()
        record.lineage = json.loads(self.place.mlops("lineage", "1", "--json"))
        record.runs, record.sensors = ui.runs(), ui.sensors()
        record.mlflow = mlflow_statuses(self.place.settings.registry_uri)
        record.made = {asset: ui.made(asset) for asset in ASSETS}
        record.observed = ui.observed("arrival_delay/remediation/rollback")
        record.rollback = ui.stats(record.made["arrival_delay/remediation/rollback"][0].run_id)

    def _start(self, feed_until: str) -> None:
        self._say(f"dagster dev answers after {self._dev.start(feed_until):.0f} s; the feed ends with {feed_until}")

    def _stop(self) -> None:
        self.record.stop_seconds.append(self._dev.stop())
        self._say(f"dagster dev and its services are gone after {self.record.stop_seconds[-1]:.1f} s")

    def _train(self) -> str:
        config = {"ops": {"arrival_delay__models__model": {"config": INVERTED}}}
        return self._dev.ui.launch("arrival_delay__train", BAD_DAYS[-1], config)

    def _made(self, name: str) -> list[Made]:
        return self._dev.ui.made(f"{MODEL}/{name}")

    def _decided(self) -> str:
        """The last day that was judged."""
        return self._made("monitoring/decision")[-1].partition

    def _run(self, run_id: str) -> Run:
        return next(run for run in self._dev.ui.runs() if run.run_id == run_id)

    def _history(self) -> list[dict[str, Any]]:
        return json.loads(self.place.mlops("history", "--json"))

    def _quiet(self) -> bool:
        """The feed is at its end, every run is over, and the other sensors have looked since."""
        runs, sensors = self._dev.ui.runs(), self._dev.ui.sensors()
        if not all(run.over for run in runs):
            return False
        last = max(run.ended or 0.0 for run in runs)
        fed = "the feed ends" in (sensors["flights__feed"]["ticks"][-1]["skipReason"] or "")
        others = [sensor for name, sensor in sensors.items() if name != SILENCE]
        return fed and all(sensor["ticks"][-1]["timestamp"] > last for sensor in others)

    def _champion(self) -> str | None:
        return champion_at(self.place.settings.endpoint_url)

    def _ask(self) -> dict[str, Any]:
        return answer_of(self.place.settings.endpoint_url)

    def _until(self, what: str, true: Callable[[], Any], seconds: float) -> None:
        """Wait for it. ``seconds``: more than it takes on two quiet cores; busy ones are given as many times that."""
        deadline = time.monotonic() + PATIENCE * seconds
        while not true():
            self._tell()
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE * seconds:.0f} s"
            time.sleep(0.5)
        self._tell()
        self._say(f"seen: {what}")

    def _tell(self) -> None:
        """Every run that has ended since the last look. Raises AssertionError when one failed."""
        for run in self._dev.ui.runs():
            if run.over and run.run_id not in self._told:
                self._told.add(run.run_id)
                seconds = (run.ended or run.created) - run.created
                self._say(f"  {run.job} {run.partition} {run.status} {seconds:.0f} s, by {run.sensor or 'a person'}")
                assert run.status != "FAILURE", f"run {run.run_id} of {run.job} failed"

    def _say(self, text: str) -> None:
        self._print(f"{time.monotonic() - self._began:5.0f} s  {text}")

    def tell(self, text: str) -> None:
        """Print a line, whatever pytest captures."""
        self._print(text)

    def _diagnose(self) -> None:
        self._print(f"--- end of {self.place.log}\n{self._dev.log_tail()}")
        for log in sorted((self.place.state / "services").glob("*.log")):
            self._print(f"--- end of {log.name}\n{log.read_text(errors='replace')[-2000:]}")
        if not self._dev.ui.answers():
            return
        for run in self._dev.ui.runs():
            if run.status == "FAILURE":
                self._print(f"--- {run.job} {run.partition}\n" + "\n".join(self._dev.ui.failures(run.run_id)))
        for name, sensor in self._dev.ui.sensors().items():
            tick = sensor["ticks"][-1] if sensor["ticks"] else {}
            self._print(f"--- {name}: {tick.get('status')}: {tick.get('skipReason')} {tick.get('error') or ''}")
