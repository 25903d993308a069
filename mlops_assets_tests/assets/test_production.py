"""The champion is handed over by digest; anything else is refused and leaves production as it was."""

from dataclasses import replace

from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import PRODUCTION, key
from mlops_assets.contracts import Evaluation, from_json, to_json
from mlops_assets.definitions import build_defs
from mlops_assets.ml.bundles import digest_of
from mlops_assets_tests.conftest import LAST, checks_of, enthrone, why

JOB = "arrival_delay__transfer"
CHECK = "transferred_version/production_holds_the_evaluated_bytes"


def config(lived, **options) -> dict:
    op = key(lived.use_case, PRODUCTION, "transferred_version").to_python_identifier()
    return {"ops": {op: {"config": options}}}


def test_the_champion_arrives_in_production_with_its_documents_and_the_history_says_so(lived) -> None:
    result = lived.run(JOB, LAST)
    assert checks_of(result) == {CHECK: True}
    here, there = lived.memory.registry.version("arrival_delay", 1), lived.production.version("arrival_delay", 1)
    assert there.digest == here.digest
    assert lived.production.documents("arrival_delay", 1) == lived.memory.registry.documents("arrival_delay", 1)
    line = lived.promotions.all("arrival_delay")[-1]
    assert (line.kind, line.version, line.to_arm, line.by) == (
        "transferred",
        1,
        None,
        "asset:arrival_delay/production/transferred_version",
    )
    assert line.evidence["registry"] == lived.production.address


def test_handing_over_again_changes_nothing(lived) -> None:
    lived.run(JOB, LAST)
    lines = len(lived.promotions.all("arrival_delay"))
    assert checks_of(lived.run(JOB, LAST)) == {CHECK: True}
    assert len(lived.production.versions("arrival_delay")) == 1
    assert len(lived.promotions.all("arrival_delay")) == lines


def test_another_digest_fails_and_production_sees_nothing(lived) -> None:
    result = lived.run(JOB, LAST, config=config(lived, digest="0" * 64), fails=True)
    assert not result.success
    assert "TransferRefused" in why(result)
    assert lived.production.versions("arrival_delay") == []


def test_a_version_that_is_not_champion_is_not_handed_over(lived) -> None:
    enthrone(lived, "2013-03-22")
    result = lived.run(JOB, LAST, config=config(lived, version=1), fails=True)
    assert not result.success
    assert "version 1 is not champion here (version 2 is)" in why(result)
    assert lived.production.versions("arrival_delay") == []


class Forgetful(MemoryRegistry):
    """Gives back another evaluation than it was given, with a digest to match."""

    def _add(self, name, run_id, bundle, documents, digest, tags):
        added = super()._add(name, run_id, bundle, documents, digest, tags)
        other = replace(from_json(Evaluation, documents["evaluation.json"]), model_digest="0" * 64)
        self.files[name, added.version]["documents/evaluation.json"] = to_json(other).encode()
        self._digests[name, added.version]["evaluation.json"] = digest_of(to_json(other).encode())
        return added

    def verify(self, name, version, keep=None):
        return self.version(name, version).digest


def test_documents_about_other_bytes_are_seen(lived) -> None:
    lived.production = Forgetful()
    settings = Settings(start_services=False)
    lived.definitions = build_defs((lived.use_case,), lived._resources(), settings)
    assert checks_of(lived.run(JOB, LAST)) == {CHECK: False}
