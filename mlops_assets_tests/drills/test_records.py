"""What a drill concludes from stands in the system's own records, all of it on one line of time."""

from types import SimpleNamespace

from mlops_assets.adapters.settings import Settings
from mlops_assets.drills.drill import Source
from mlops_assets.drills.records import moments_since
from mlops_assets_tests.conftest import LAST, LIVE

LOG = """2026-11-29 20:30:17,684 server INFO listening on http://127.0.0.1:1
2026-11-29 20:30:18,000 worker INFO POST /admin/nudge from 127.0.0.1:53994: 202
2026-11-29 20:30:19,500 server WARNING worker ended with code -9 after 3.0 s: starting it again
"""


def records_of(life, folder):
    settings = Settings(state=folder)
    (folder / "services").mkdir(exist_ok=True)
    (folder / "services" / "endpoint.log").write_text(LOG)
    parts = SimpleNamespace(promotions=life.twins.promotions, alerts=life.twins.memory.alerts)
    system = SimpleNamespace(
        settings=settings, use_case=life.twins.use_case, instance=life.twins.instance, deployment=parts
    )
    return lambda at: moments_since(system, at)


def test_every_record_of_a_life_is_a_moment_in_its_order(life, tmp_path):
    since = records_of(life, tmp_path)
    moments = since(0.0)
    assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    decided = [moment for moment in moments if moment.source is Source.DECISIONS]
    assert [moment.day for moment in decided] == list(LIVE)
    assert decided[-1].facts["action"] == decided[-1].what.split(":")[0]
    judged = [m for m in moments if m.source is Source.MONITORS and m.facts["name"] == "label_sanity"]
    assert [moment.day for moment in judged] == list(LIVE)
    assert judged[0].facts["verdict"] in ("ok", "unknown")
    kinds = [moment.facts["kind"] for moment in moments if moment.source is Source.HISTORY]
    assert kinds == ["registered", "promoted"]
    jobs = {moment.facts["job"]: moment for moment in moments if moment.source is Source.RUNS}
    assert jobs["arrival_delay__train"].facts["status"] == "SUCCESS"
    assert jobs["arrival_delay__train"].day == LAST
    checks = {moment.facts["check"] for moment in moments if moment.source is Source.CHECKS}
    assert {"is_quiet", "online_equals_offline"} <= checks
    assert not [moment for moment in since(moments[-1].at + 1) if moment.source is not Source.SERVER_LOG]


def test_the_servers_log_tells_of_starts_and_troubles_and_not_of_every_request(life, tmp_path):
    said = [moment.what for moment in records_of(life, tmp_path)(0.0) if moment.source is Source.SERVER_LOG]
    assert said == ["listening on http://127.0.0.1:1", "worker ended with code -9 after 3.0 s: starting it again"]
