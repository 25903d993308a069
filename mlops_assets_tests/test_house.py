"""House rules: every asset, job, sensor, check and module x every rule, enumerated and never remembered."""

import ast
import configparser
import inspect
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.adapters.settings import ROOT
from mlops_assets.assets.address import STAGES
from mlops_assets.definitions import defs
from mlops_assets.use_cases import USE_CASES

MODULES = sorted((ROOT / "mlops_assets").rglob("*.py")) + sorted((ROOT / "feature_repo").rglob("*.py"))
SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
ROOMS_WITHOUT_NAMES = {"utils", "helpers", "common", "misc", "base"}
UNPARTITIONED = {f"flights/datasets/{name}" for name in ("aircraft", "airports", "upkeep")}
UNPARTITIONED |= {"arrival_delay/monitoring/log_retention"}


ROLE_OF_STAGE = {
    "datasets": "data",
    "features": "data",
    "training": "ml",
    "models": "ml",
    "monitoring": "ml",
    "releases": "operations",
    "production": "operations",
    "remediation": "operations",
}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_an_asset_has_an_address_an_owner_and_a_description(name: str) -> None:
    spec = SPECS[name]
    owner, stage, _ = spec.key.path
    known = {use_case.name for use_case in USE_CASES} | {use_case.domain.name for use_case in USE_CASES}
    assert owner in known
    assert stage in STAGES
    assert spec.group_name == f"{owner}/{stage}"
    assert spec.description
    assert spec.owners
    assert spec.kinds
    assert (spec.partitions_def is None) == (name in UNPARTITIONED)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_an_asset_is_owned_by_the_role_that_answers_for_its_stage(name: str) -> None:
    spec = SPECS[name]
    owner, stage, _ = spec.key.path
    known = {facts.name: facts.owner for use_case in USE_CASES for facts in (use_case, use_case.domain)}
    roles = {"data": known[owner].data, "ml": known[owner].machine_learning, "operations": known[owner].operations}
    assert len(set(roles.values())) == 3
    assert spec.owners == [roles[ROLE_OF_STAGE[stage]]]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_the_stage_in_a_key_is_the_file_that_defines_the_asset(name: str) -> None:
    definition = defs.get_repository_def().assets_defs_by_key[SPECS[name].key]
    source = inspect.getsourcefile(definition.op.compute_fn.decorated_fn)
    assert source is not None
    stage = SPECS[name].key.path[1]
    assert stage in Path(source).relative_to(ROOT / "mlops_assets" / "assets").with_suffix("").parts


def test_every_job_sensor_and_schedule_says_what_it_is_for() -> None:
    repository = defs.get_repository_def()
    for sensor in repository.sensor_defs:
        assert sensor.description, sensor.name
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name
    for schedule in repository.schedule_defs:
        assert schedule.description, schedule.name
    for job in repository.get_all_jobs():
        assert re.fullmatch(r"[a-z_]+", job.name) or job.name.startswith("__"), job.name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_a_sign_and_stays_small(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{path} has no sign on the door"
    assert path.stem not in ROOMS_WITHOUT_NAMES
    assert text.count("\n") <= 300, "a file of more than 300 lines has more than one idea"
    long = [f"{f.name}: {f.end_lineno - f.lineno + 1} lines" for f in functions(path) if f.end_lineno - f.lineno >= 60]
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_unpickles_or_reads_the_environment(path: Path) -> None:
    text = path.read_text()
    for word in ("import pickle", "import dill", "import joblib", "import cloudpickle", "pickle.load"):
        assert word not in text
    if path.name != "settings.py" and "demo" not in path.parts:
        assert "os.environ" not in text
        assert "os.getenv" not in text


def test_imports_point_down() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert "importlinter:contract:layers" in config.sections()
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--config", "setup.cfg"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_definitions_load_without_the_heavy_libraries() -> None:
    heavy = (
        "mlflow",
        "feast",
        "dvc",
        "alibi_detect",
        "lightgbm",
        "matplotlib",
        "duckdb",
        "shap",
        "torch",
        "tensorflow",
    )
    load = "import sys, mlops_assets.definitions as d; d.defs.get_repository_def()"
    code = f"{load}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
