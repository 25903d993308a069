"""The graph as everybody sees it: keys, dependencies, groups, checks, jobs, sensors and schedules, against a record.

After a wanted change: ``python -m mlops_assets_tests.test_graph`` writes the record again; read its difference.
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.adapters.settings import Settings
from mlops_assets.definitions import build_defs

RECORD = Path(__file__).with_name("graph.json")
COMMAND = "python -m mlops_assets_tests.test_graph"


def definitions() -> dg.Definitions:
    return build_defs(settings=Settings())


def described(built: dg.Definitions) -> dict[str, Any]:
    """Everything that another part of the project, or a person, refers to by name."""
    graph = built.resolve_asset_graph()
    jobs = [job for job in built.resolve_all_job_defs() if not job.name.startswith("__")]
    return {
        "assets": {
            node.key.to_user_string(): {
                "group": node.group_name,
                "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
                "checks": sorted(check.name for check in node.check_keys),
            }
            for node in sorted(graph.asset_nodes, key=lambda node: node.key)
        },
        "jobs": {
            job.name: sorted(asset.to_user_string() for asset in job.asset_layer.selected_asset_keys)
            for job in sorted(jobs, key=lambda job: job.name)
        },
        "sensors": sorted(sensor.name for sensor in built.sensors or []),
        "schedules": {schedule.name: schedule.cron_schedule for schedule in built.schedules or []},
    }


def test_the_graph_is_the_recorded_one():
    recorded = json.loads(RECORD.read_text())
    found = described(definitions())
    for part, wanted in recorded.items():
        told = f"{part} changed; if that is wanted, run `{COMMAND}` and read the difference of {RECORD.name}"
        assert found[part] == wanted, told
    assert found.keys() == recorded.keys()


def test_nothing_but_remediation_depends_on_remediation():
    assets = described(definitions())["assets"]
    closing = {name: parent for name, facts in assets.items() for parent in facts["deps"] if "/remediation/" in parent}
    assert closing
    assert all("/remediation/" in name for name in closing), closing


def test_every_key_is_owner_stage_name_and_its_group_says_so():
    for name, facts in described(definitions())["assets"].items():
        owner, stage, _ = name.split("/")
        assert facts["group"] == f"{owner}/{stage}"


if __name__ == "__main__":
    RECORD.write_text(json.dumps(described(definitions()), indent=1) + "\n")
