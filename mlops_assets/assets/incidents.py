"""The incidents of a use case as files, and what one day does to them: open, add to, tell people, close.

Here: finding and keeping incidents, gathering what a day says of them. Belongs here: what the asset ``incident`` (in
``assets.remediation``) and the command ``mlops incidents`` share. Does not: when one opens and closes
(``ml.incidents``), words (``ml.incident_reports``).

An incident is a folder: the record, the report, and an empty file named after the day on which it was closed, so that
which ones are open is seen from the names alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import dagster as dg

from mlops_assets.adapters.alerts import Alerts, Severity
from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.documents import MANIFEST, manifest_of
from mlops_assets.adapters.endpoint import Endpoint, EndpointDown, EndpointRefused
from mlops_assets.adapters.registry import Registry, RegistryCorrupt, VersionMissing, utc_now
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.assets.address import RELEASES, REMEDIATION, table
from mlops_assets.assets.files import decision_of, folder, judgements_of
from mlops_assets.assets.partitions import shift, span
from mlops_assets.contracts import (
    Action,
    Arm,
    Decision,
    Incident,
    InvolvedVersion,
    Judgement,
    Manifest,
    Moment,
    Phase,
    Transition,
    UseCase,
    from_json,
    to_json,
)
from mlops_assets.ml.incident_reports import incident_report
from mlops_assets.ml.incidents import (
    belongs,
    challenger,
    closed,
    closing,
    day_of,
    opened,
    reaching_back,
    replacement,
    touches,
    with_day,
    with_moves,
)
from mlops_assets.ml.policy import BREACHES, DATA_CHECKS, DRIFTS

LOOK_BACK_DAYS = 10
"""Days of verdicts in which the start of a run of alarms is looked for, as many as a decision sees."""
RECORD, REPORT, CLOSED = "incident.json", "report.md", "closed-"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where incidents are worked on."""

    use_case: UseCase
    artifacts: Artifacts
    tables: Tables
    releases: Releases
    endpoint: Endpoint
    alerts: Alerts
    run_id: str = ""

    def work(self, day: str) -> list[Incident]:
        """Everything that the day does to incidents: those that it touched, as they are now."""
        decision = decision_of(self.artifacts, self.use_case, day)
        if decision is None:
            name = self.use_case.name
            raise dg.Failure(f"nothing was decided about {day}: materialize {name}/monitoring/decision first")
        touched = [incident for incident in self._known(day) if touches(incident, day)]
        if decision.acts and not any(belongs(incident, decision) for incident in touched):
            touched.append(
                opened(self.use_case.name, decision, self._judged(shift(day, -LOOK_BACK_DAYS), day), utc_now())
            )
        if not touched:
            return []
        said = day_of(decision, self._answered(day))
        history = self.releases.promotions.all(self.use_case.name)
        updated = [with_moves(with_day(incident, said, decision), history) for incident in touched]
        return [self._settle(incident, decision) for incident in updated]

    def _known(self, day: str) -> list[Incident]:
        """The incidents that the day may touch; one that opened soon after it may turn out to have begun with it."""
        found = []
        for name, end in closed_days(self.artifacts, self.use_case).items():
            if (end or day) < day or name[:10] > shift(day, LOOK_BACK_DAYS):
                continue
            incident = incident_of(self.artifacts, self.use_case, name)
            later = incident.opened_day > day
            found.append(reaching_back(incident, self._judged(day, incident.opened_day)) if later else incident)
        return found

    def _judged(self, first: str, last: str) -> list[Judgement]:
        names = (*DATA_CHECKS, *BREACHES, *DRIFTS)
        return [j for day in span(first, last) for j in judgements_of(self.artifacts, self.use_case, day, names)]

    def _answered(self, day: str) -> dict[str, int]:
        """Digest -> answers of the champion's arm, by the server's own log; none before the day was counted."""
        try:
            rows = self.tables.read(table(self.use_case, RELEASES, "deployment"), day, day)
        except TableMissing:
            return {}
        held = rows[(rows["arm"] == Arm.CHAMPION) & rows["digest"].notna()]
        return {str(digest): int(answers) for digest, answers in held.groupby("digest")["answers"].sum().items()}

    def _settle(self, incident: Incident, decision: Decision) -> Incident:
        """Let the server and the registry speak, tell people, close it when it is over, keep it."""
        incident = self._with_answer(incident)
        incident = replace(incident, versions=_versions(self.releases.registry, incident))
        if belongs(incident, decision):
            incident = self._told(incident, decision)
        if end := closing(incident):
            incident = closed(incident, end, utc_now())
            for key in incident.told:
                self.alerts.resolve(key, f"closed on {end.day}: {end.because}")
        put_incident(self.artifacts, self.use_case, incident, self.alerts.runbook(str(incident.action)))
        return incident

    def _told(self, incident: Incident, decision: Decision) -> Incident:
        """Each action of an incident is told once, whatever days repeat it."""
        runs = tuple(dict.fromkeys([*incident.runs, *filter(None, (self.run_id,))]))
        if any(key.endswith(f"/{decision.action}") for key in incident.told):
            return replace(incident, runs=runs)
        key = f"{incident.use_case}/{decision.day}/{decision.action}"
        severity = Severity.WARNING if decision.action is Action.RETRAIN else Severity.CRITICAL
        title = f"{incident.use_case} {decision.day}: {decision.action}"
        self.alerts.alert(key, severity, title, decision.reason, runbook=str(decision.action))
        return replace(incident, runs=runs, told=(*incident.told, key))

    def _with_answer(self, incident: Incident) -> Incident:
        """Ask the server whether it answers with the version that was put in, until it said so once."""
        put_in = replacement(incident)
        if put_in is None or not incident.is_open or any(put_in.digest in moment.text for moment in incident.answers):
            return incident
        try:
            held = self.endpoint.status(incident.use_case).arm(Arm.CHAMPION)
        except (EndpointDown, EndpointRefused):
            return incident
        if held is None or held.digest != put_in.digest:
            return incident
        told = f"the server reports version {held.version} ({held.digest}) as champion"
        seen = Moment(phase=Phase.ANSWERED, day=put_in.day, text=told, at=utc_now())
        return replace(incident, answers=(*incident.answers, seen))


def _versions(registry: Registry, incident: Incident) -> tuple[InvolvedVersion, ...]:
    """Where the champion, what was put in its place and what was trained because of it came from."""
    known = {found.version: found for found in incident.versions}
    moves: tuple[Transition | None, ...] = (replacement(incident), challenger(incident))
    wanted = [incident.champion_version, incident.target_version, *(move.version for move in moves if move)]
    for number in dict.fromkeys(filter(None, wanted)):
        if number not in known:
            known |= _involved(registry, incident.use_case, number)
    return tuple(known.values())


def _involved(registry: Registry, model: str, number: int) -> Mapping[int, InvolvedVersion]:
    """A version that the registry does not have, or not whole, is left out: the report must not fail."""
    try:
        version = registry.version(model, number)
        documents = registry.documents(model, number)
        manifest: Manifest | None = manifest_of(registry, model, number) if MANIFEST in documents else None
    except (VersionMissing, RegistryCorrupt, ConnectionError):
        return {}
    found = InvolvedVersion(version=number, digest=version.digest, cutoff_day=version.cutoff_day)
    if manifest is None:
        return {number: found}
    more = (manifest.training_set_digest, manifest.code_commit, manifest.trained_because)
    names = ("training_set_digest", "code_commit", "trained_because")
    return {number: replace(found, **dict(zip(names, more, strict=True)))}


def closed_days(artifacts: Artifacts, use_case: UseCase) -> dict[str, str | None]:
    """Id of every incident, oldest first -> the day on which it was closed, None while it is open."""
    found: dict[str, str | None] = {}
    for path in artifacts.list(folder(use_case, REMEDIATION, "incident", "").rstrip("/")):
        name, _, file = path.partition("/")
        found.setdefault(name, None)
        if file.startswith(CLOSED):
            found[name] = file.removeprefix(CLOSED)
    return found


def incident_of(artifacts: Artifacts, use_case: UseCase, name: str) -> Incident:
    """The record of an incident. Raises ArtifactMissing."""
    return from_json(Incident, artifacts.get(f"{folder(use_case, REMEDIATION, 'incident', name)}/{RECORD}"))


def report_of(artifacts: Artifacts, use_case: UseCase, name: str) -> str:
    """The report of an incident. Raises ArtifactMissing."""
    return artifacts.get(f"{folder(use_case, REMEDIATION, 'incident', name)}/{REPORT}").decode()


def put_incident(artifacts: Artifacts, use_case: UseCase, incident: Incident, runbook: str) -> None:
    """Keep an incident: its record, its report, and the day of its end when it has one."""
    where = folder(use_case, REMEDIATION, "incident", incident.id)
    artifacts.put(f"{where}/{RECORD}", to_json(incident).encode())
    artifacts.put(f"{where}/{REPORT}", incident_report(incident, runbook).encode())
    if incident.closed_day:
        artifacts.put(f"{where}/{CLOSED}{incident.closed_day}", b"")
