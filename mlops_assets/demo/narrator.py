"""One line of plain English per event, read from the system's own records.

Here: what became true since the last look, in words. Belongs here: wording. Does not: making anything happen.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.contracts import Decision, Transition, UseCase, from_json

SENTENCES = {
    "registered": "version {v} is registered (digest {d})",
    "shadow": "version {v} goes into shadow: {r}",
    "canary": "version {v} becomes canary and answers a share of the traffic: {r}",
    "widened": "version {v} answers more of the traffic: {r}",
    "promoted": "version {v} becomes champion: {r}",
    "override": "OVERRIDE by {by}: version {v} is put into {arm}: {r}",
    "refused": "version {v} is refused: {r}",
    "retired": "version {v} leaves the traffic, another takes its place",
    "rolled_back": "version {v} is ROLLED BACK: {r}",
    "restored": "version {v} answers again (digest {d})",
    "signed_off": "version {v} is signed off by {by}: {r}",
    "transferred": "version {v} is handed over to production: {r}",
}


LONGEST = 110


@dataclass
class Narrator:
    """Remembers what it has told."""

    use_case: UseCase
    promotions: Promotions
    tables: Tables
    _told: set[str] = field(default_factory=set)

    def news(self, day: str | None) -> Iterator[str]:
        """What happened since the last call: the decision of the day, then every move of a version."""
        if day and day not in self._told:
            self._told.add(day)
            yield from self._decision(day)
        for line in self.promotions.all(self.use_case.name):
            if line.event_id not in self._told:
                self._told.add(line.event_id)
                yield _sentence(line)

    def _decision(self, day: str) -> Iterator[str]:
        try:
            found = self.tables.read(f"{self.use_case.name}/monitoring/decision", day, day)
        except TableMissing:
            return
        for text in found["decision"]:
            decision = from_json(Decision, text)
            if decision.action != "nothing":
                action = str(decision.action).replace("_", " ")
                yield f"{day}: monitoring asks to {action}: {shortened(decision.reason)}"


def shortened(reason: str) -> str:
    """A reason on one line of a terminal; the whole of it is in the decision and the history."""
    return reason if len(reason) <= LONGEST else reason[: LONGEST - 4].rsplit(" ", 1)[0] + " ..."


def _sentence(line: Transition) -> str:
    words = {"v": line.version, "d": line.digest[:12], "r": shortened(line.reason), "by": line.by, "arm": line.to_arm}
    return f"{line.day}: {SENTENCES[line.kind].format(**words)}"
