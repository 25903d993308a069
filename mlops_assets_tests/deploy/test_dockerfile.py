"""The images: what hadolint and the house say of them, and that their entry point runs."""

import fnmatch
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from mlops_assets.adapters.settings import ROOT
from mlops_assets_tests.deploy.dockerfile import command_of, environment_of, house_problems, stages, text_of
from mlops_assets_tests.deploy.manifests import DEPLOY
from mlops_assets_tests.redis_server import free_port

BIN = Path(sys.executable).parent


def hadolint(text: str) -> str:
    done = subprocess.run([BIN / "hadolint", "-"], input=text, capture_output=True, text=True, check=False)
    return done.stdout


def test_hadolint_finds_nothing() -> None:
    assert hadolint(text_of()) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("FROM python:3.11.14-slim-bookworm AS base", "FROM python AS base", "DL3006"),
        ("WORKDIR /app", "WORKDIR app", "DL3000"),
        ("--yes --no-install-recommends", "--no-install-recommends", "DL3014"),
    ],
)
def test_hadolint_sees_a_damaged_file(right: str, wrong: str, rule: str) -> None:
    assert right in text_of()
    assert rule in hadolint(text_of().replace(right, wrong))


def test_the_rules_of_the_house_hold() -> None:
    assert house_problems(text_of()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("USER 10001:10001", "USER 0:0", "wanted a number other than root's"),
        ("USER 10001:10001\n", "", "wanted a number other than root's"),
        ('ENTRYPOINT ["mlops", "serve"]', "ENTRYPOINT mlops serve", "through a shell"),
        (" --require-hashes", "", "no lock names"),
        ("COPY mlops_assets", "ADD mlops_assets", "ADD unpacks"),
        ("ENV MLOPS_ENDPOINT_URL", "ENV MLOPS_ADMIN_TOKEN=x MLOPS_ENDPOINT_URL", "a secret in the image"),
    ],
)
def test_the_house_sees_a_damaged_file(right: str, wrong: str, told: str) -> None:
    assert right in text_of()
    assert any(told in problem for problem in house_problems(text_of().replace(right, wrong)))


def test_what_is_copied_is_in_the_context_and_nothing_else_is() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule[0] == "!"}
    copied = {
        source
        for stage in stages()
        for instruction in stage.instructions
        if instruction.name == "COPY" and "--from" not in instruction.words
        for source in instruction.words.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    for kept_out in (".git", "state", ".env", ".venv", "deploy/.env"):
        assert not any(fnmatch.fnmatch(kept_out, name) for name in allowed)


def test_the_server_s_lock_leaves_the_heavy_libraries_out() -> None:
    names = set(re.findall(r"^([a-z0-9._-]+)==", (DEPLOY / "server.lock").read_text(), re.MULTILINE))
    assert {"lightgbm", "mlflow-skinny", "onnxruntime", "psycopg", "redis", "uvicorn"} <= names
    assert not {"mlflow", "dagster", "feast", "pandas", "pyarrow", "torch", "scikit-learn"} & names


@pytest.mark.integration
@pytest.mark.parametrize("environment", [".venv", ".venv-ray"])
def test_the_server_s_entry_point_answers_with_the_container_s_environment_alone(
    environment: str, tmp_path: Path
) -> None:
    """In this environment, and in the one of deploy/ray, which holds the packages of the image and Ray's."""
    if not (ROOT / environment / "bin" / "mlops").exists():
        pytest.skip(f"no {environment} here: make setup-ray")
    bin_ = ROOT / environment / "bin"
    server = next(stage for stage in stages() if stage.name == "server")
    port = free_port()
    # On loopback instead of on all of the container's addresses: this is not a container.
    told = {**environment_of(server), "MLOPS_STATE": str(tmp_path), "MLOPS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    told |= {"PATH": f"{bin_}:{os.defpath}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    told |= {"MLOPS_PREDICT_TOKEN": "0123456789abcdef", "MLOPS_ADMIN_TOKEN": "fedcba9876543210"}
    told |= {"MLOPS_REGISTRY_URI": f"http://127.0.0.1:{free_port()}"}
    name, *arguments = command_of(server, "ENTRYPOINT")
    check = [word.replace("8757", str(port)) for word in command_of(server, "HEALTHCHECK")]
    check[0] = str(bin_ / check[0])
    assert subprocess.run(check, env=told, capture_output=True, check=False).returncode != 0
    process = subprocess.Popen([bin_ / name, *arguments], env=told, cwd="/")
    try:
        deadline = time.monotonic() + 30
        while subprocess.run(check, env=told, capture_output=True, check=False).returncode != 0:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/live", trust_env=False).json() == {"live": True}
        assert httpx.get(f"{url}/metrics", trust_env=False).status_code == 401
        bearer = {"authorization": f"Bearer {told['MLOPS_PREDICT_TOKEN']}"}
        assert "mlops_in_flight_requests" in httpx.get(f"{url}/metrics", headers=bearer, trust_env=False).text
        # Nobody answers as the registry; that the reconciler found out means that it has the packages to ask one.
        while not (told := httpx.get(f"{url}/ready", trust_env=False).json()["problems"]) or "asked" not in told[0]:
            assert time.monotonic() < deadline, told
            time.sleep(0.1)
        assert "No module" not in told[0]
    finally:
        process.terminate()
        assert process.wait(20) == 0
