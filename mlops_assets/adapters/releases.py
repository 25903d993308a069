"""The only code that moves an arm: history first, then the registry's aliases, which the server follows.

Here: ``Releases`` (enter, leave, roll back, repair) and the ``Cause`` that every move must state.
Belongs here: what has to happen together when a version enters or leaves the traffic, and what is refused.
Does not: deciding that it should (``ml.releases``, ``ml.policy``, an operator), waiting for the server (``assets``).

A crash between history and aliases leaves an intent that ``repair`` carries out; every move ends with it.
The same cause again writes nothing. Of two moves at once, decided on the same arms, one is recorded; the other raises
``HistoryMoved`` before anything moved.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_assets.adapters.promotions import CANARY_BASIS_POINTS, Promotions
from mlops_assets.adapters.registry import Registry, VersionMissing, utc_now
from mlops_assets.contracts import Arm, ModelVersion, Transition
from mlops_assets.ml.tenures import holders

KINDS = {Arm.SHADOW: "shadow", Arm.CANARY: "canary", Arm.CHAMPION: "promoted"}
LAST_TRANSITION_TAG = "last_transition"


class DigestMismatch(ValueError):
    """The version in the registry is not the one that was asked for."""


class ChampionChanged(ValueError):
    """The evidence is about a champion that is champion no more."""


class NothingToRollBackTo(LookupError):
    """No champion, or no earlier one, exists."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something moves. The same ``id`` again moves nothing."""

    id: str
    """Unique to the cause: ``decision/2013-05-01/roll_back``, ``operator/ann/2013-05-01/1``."""
    day: str
    by: str
    """``sensor:<name>``, ``asset:<key>`` or ``operator:<person>``."""
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    dagster_run_id: str | None = None


@dataclass(frozen=True)
class _Move:
    """One line to write: a version and where it goes."""

    version: ModelVersion | Transition
    kind: str
    from_arm: Arm | None
    to_arm: Arm | None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Releases:
    """Moves versions between arms, in the promotion history and in the registry."""

    def __init__(self, registry: Registry, promotions: Promotions, now: Callable[[], str] = utc_now) -> None:
        self.registry = registry
        self.promotions = promotions
        self._now = now

    def announce(self, model: str, version: int, digest: str, *, cause: Cause, kind: str = "registered") -> Transition:
        """Write into the history that a version was registered (or ``kind``). No arm moves. Raises DigestMismatch."""
        wanted = self._wanted(model, version, digest)
        return self._carry_out(model, cause, _Move(wanted, kind, None, None), None)

    def enter(
        self,
        model: str,
        version: int,
        digest: str,
        arm: Arm,
        *,
        cause: Cause,
        kind: str | None = None,
        basis_points: int = 0,
    ) -> Transition:
        """Put a version into an arm; whoever held it is retired, and the arm that the version held before is left.

        ``kind`` is the arm's own unless an ``override`` is meant; ``basis_points`` is the share of a canary, in
        1/10,000. Returns the line of the history; a version that holds the arm already gets no second one. Raises
        DigestMismatch, VersionMissing, RegistryCorrupt (the version's files are read back first), ValueError for a
        canary without a share.
        """
        if arm is Arm.CANARY and not 0 < basis_points <= 10_000:
            raise ValueError(f"a canary answers 1 to 10,000 basis points of the traffic, not {basis_points}")
        wanted = self._wanted(model, version, digest)
        held = self.promotions.arms(model)
        holder = held.get(arm)
        if holder and holder.version == version and _share(holder) == basis_points:
            self.repair(model)
            return holder
        self.registry.verify(model, version)
        out = []
        facts: dict[str, Any] = {CANARY_BASIS_POINTS: basis_points} if arm is Arm.CANARY else {}
        if holder and holder.version != version:
            out.append(_Move(holder, "retired", arm, None, {"replaced_by_version": version}))
            facts[f"former_{arm}"] = holder.version
        move = _Move(wanted, kind or KINDS[arm], _arm_of(held, version), arm, facts)
        return self._carry_out(model, cause, move, held, out)

    def leave(self, model: str, version: int, digest: str, *, cause: Cause, kind: str = "refused") -> Transition:
        """Take a version out of the arm it holds; one in no arm is only written down. Raises DigestMismatch.

        A champion leaves this way only when the use case's fallback shall answer; see ``roll_back``.
        """
        wanted = self._wanted(model, version, digest)
        held = self.promotions.arms(model)
        return self._carry_out(model, cause, _Move(wanted, kind, _arm_of(held, version), None), held)

    def roll_back(
        self, model: str, *, cause: Cause, from_version: int | None = None, to_version: int | None = None
    ) -> Transition:
        """Take the champion out of the traffic and make the previous one (or ``to_version``) champion again.

        Returns the line that restores. Raises, before anything moved: ChampionChanged when the champion is not
        ``from_version``, NothingToRollBackTo, VersionMissing, and RegistryCorrupt when the version to restore cannot
        be read back whole.
        """
        if known := self._restored_by(model, cause):
            self.repair(model)
            return known
        held = self.promotions.arms(model)
        champion = held.get(Arm.CHAMPION)
        if champion is None:
            raise NothingToRollBackTo(f"{model} has no champion to take back")
        if from_version not in (None, champion.version):
            raise ChampionChanged(f"asked to take back version {from_version}, but champion is {champion.version}")
        target = self._target(model, champion.version, to_version)
        self.registry.verify(model, target.version)
        facts = {"rolled_back_version": champion.version, "restored_version": target.version}
        out = _Move(champion, "rolled_back", Arm.CHAMPION, None, facts)
        back = _Move(target, "restored", _arm_of(held, target.version), Arm.CHAMPION, facts)
        return self._carry_out(model, cause, back, held, [out])

    def repair(self, model: str) -> list[str]:
        """Make the registry follow the history: what it changed, in words; empty when all agreed.

        Without any history nothing is touched: a lost table must not take the champion out of the traffic. The history
        is read again at the end: when another process moved an arm meanwhile, what was set here may be stale.
        """
        done: list[str] = []
        history = self.promotions.all(model)
        while history:
            done += self._follow(model, holders(history))
            before, history = history, self.promotions.all(model)
            if len(before) == len(history):
                break
        return done

    def _follow(self, model: str, held: Mapping[Arm, Transition]) -> list[str]:
        # New holders before empty arms, a canary's share before its alias and no share after it: whoever polls in
        # between sees a champion, and never a canary with its predecessor's share.
        share = _share(held[Arm.CANARY]) if Arm.CANARY in held else 0
        done = self._follow_share(model, share) if share else []
        for arm in sorted(Arm, key=lambda a: a not in held):
            done += self._follow_arm(model, arm, held[arm].version if arm in held else None)
        return done if share else done + self._follow_share(model, 0)

    def _follow_arm(self, model: str, arm: Arm, version: int | None) -> list[str]:
        present = self.registry.model(model).aliases.get(arm)
        if present == version:
            return []
        if version is None:
            self.registry.clear_alias(model, arm)
            return [f"cleared {arm}, which version {present} held"]
        self.registry.set_alias(model, arm, version)
        return [f"{arm} is version {version}, was {present or 'empty'}"]

    def _follow_share(self, model: str, share: int) -> list[str]:
        if (self.registry.model_tag(model, CANARY_BASIS_POINTS) or "0") == str(share):
            return []
        self.registry.set_model_tag(model, CANARY_BASIS_POINTS, str(share))
        return [f"the canary's share is {share} basis points"]

    def _carry_out(
        self,
        model: str,
        cause: Cause,
        move: _Move,
        held: Mapping[Arm, Transition] | None,
        out: Sequence[_Move] = (),
    ) -> Transition:
        # Who comes before who goes: at no instant of the history is the arm empty.
        lines = [self._line(model, cause, m) for m in (move, *out)]
        known = self.promotions.find(model, lines[0].event_id)
        if not known:
            self.promotions.record(lines, seen=held)
        self.repair(model)
        if known:
            return known
        for line in lines:
            self._tell(line)
        return self.promotions.find(model, lines[0].event_id) or lines[0]

    def _tell(self, line: Transition) -> None:
        """Show a version's last transition in the registry's own pages. The history is what counts."""
        text = f"{line.kind} on {line.day} by {line.by}: {line.reason}"
        with contextlib.suppress(VersionMissing):
            self.registry.tag(line.model, line.version, LAST_TRANSITION_TAG, text)

    def _wanted(self, model: str, version: int, digest: str) -> ModelVersion:
        found = self.registry.version(model, version)
        if found.digest != digest:
            raise DigestMismatch(
                f"refused to move {model} version {version}: the request says {digest}, the registry {found.digest}"
            )
        return found

    def _target(self, model: str, champion: int, to_version: int | None) -> ModelVersion:
        if to_version is not None and to_version != champion:
            return self.registry.version(model, to_version)
        previous = self.promotions.previous_champion(model)
        if to_version == champion or previous is None:
            raise NothingToRollBackTo(f"{model} version {champion} has no earlier champion to go back to")
        return self._wanted(model, previous.version, previous.digest)

    def _restored_by(self, model: str, cause: Cause) -> Transition | None:
        lines = self.promotions.all(model)
        return next((t for t in lines if t.event_id.startswith(f"{cause.id}/restored/")), None)

    def _line(self, model: str, cause: Cause, move: _Move) -> Transition:
        return Transition(
            event_id=f"{cause.id}/{move.kind}/version-{move.version.version}",
            at=self._now(),
            day=cause.day,
            model=model,
            version=move.version.version,
            digest=move.version.digest,
            from_arm=move.from_arm,
            to_arm=move.to_arm,
            kind=move.kind,
            by=cause.by,
            reason=cause.reason,
            evidence={**cause.evidence, **move.facts},
            dagster_run_id=cause.dagster_run_id,
        )


def _arm_of(held: Mapping[Arm, Transition], version: int) -> Arm | None:
    return next((arm for arm, line in held.items() if line.version == version), None)


def _share(line: Transition) -> int:
    return int(line.evidence.get(CANARY_BASIS_POINTS, 0)) if line.to_arm == Arm.CANARY else 0
