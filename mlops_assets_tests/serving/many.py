"""Many small models, and a data plane whose memory does not hold them all.

Belongs here: what tests of many models need. Does not: assertions.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from mlops_assets.serving.arms import memory_of
from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.desired import DesiredArm, DesiredModel, DesiredState
from mlops_assets.serving.follower import Follower
from mlops_assets.serving.room import Room
from mlops_assets_tests.serving.conftest import FACTS, Files, Rig, put_bundle

FAMILY = msgspec.structs.replace(FACTS, name="arrival_delay.*")
NO_FALLBACK = msgspec.structs.replace(FACTS, fallback_score=None)


def names(count: int) -> list[str]:
    return [f"arrival_delay.{number:04d}" for number in range(count)]


def entry(
    bundles: Path, name: str, files: Files, version: int = 1, facts: ServedModel = NO_FALLBACK, **more: object
) -> DesiredModel:
    """A desired model whose champion's bundle is put into its place."""
    held = {"champion": DesiredArm(version=version, digest=put_bundle(bundles, files))}
    return DesiredModel(facts=msgspec.structs.replace(facts, name=name), arms=held, **more)


def desired(bundles: Path, make_bundle: Callable[..., Files], models: Sequence[str]) -> DesiredState:
    """Each model's champion: one small bundle under every name."""
    return DesiredState(models=tuple(entry(bundles, name, make_bundle(1, model=name)) for name in models))


class Crowd:
    """A rig with a budget for ``room`` small models; a test does the follower's work by hand."""

    def __init__(self, rig: Rig, make_bundle: Callable[..., Files], count: int, room: float) -> None:
        self.rig, self.plane, self.make_bundle = rig, rig.plane, make_bundle
        self.bundles = rig.folder / "bundles"
        each = memory_of(sum(map(len, make_bundle(1, model=names(1)[0]).values())))
        self.room = Room(int(each * room))
        self.follower = Follower(rig.plane, rig.folder / "desired.json", self.bundles, retry_s=0, room=self.room)
        assert self.follower.residents is not None
        self.residents = self.follower.residents
        self.state = desired(self.bundles, make_bundle, names(count))
        self.follower.apply(self.state)

    def work(self) -> None:
        while self.residents.work():
            pass

    def want(self, model: str) -> None:
        self.residents.want(model)
        self.work()

    def change(self, model: str, files: Files, version: int = 2) -> None:
        changed = entry(self.bundles, model, files, version)
        self.state = DesiredState(models=tuple(changed if e.facts.name == model else e for e in self.state.models))
        self.follower.apply(self.state)

    @property
    def loaded(self) -> list[str]:
        return [name for name, state in self.plane.states.items() if state.arms]

    def check(self, model: str, row: Mapping[str, object]):
        return self.plane.check(msgspec.json.encode({"model": model, "rows": [row]}))

    def ask(self, model: str, row: Mapping[str, object]) -> dict[str, object]:
        ((answer,),) = self.plane.predict([self.check(model, row)])
        return answer
