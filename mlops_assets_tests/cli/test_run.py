"""Commands that start and stop processes, and the plays: what they refuse, and that they really run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from click.testing import CliRunner

from mlops_assets.adapters.services import ensure_services, services_status
from mlops_assets.adapters.settings import Settings
from mlops_assets.cli.main import main
from mlops_assets.cli.run import web_server
from mlops_assets_tests.serving.processes import free_port


def environment(folder: Path) -> dict[str, str]:
    """A state and addresses of the test's own."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "DAGSTER_"))}
    return {
        **outside,
        "MLOPS_STATE": str(folder / "state"),
        "MLOPS_REGISTRY_URI": f"http://127.0.0.1:{free_port()}",
        "MLOPS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
    }


def mlops(*words: str, env: dict[str, str], **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlops_assets.cli.main", *words]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def until_it_answers(url: str, process: subprocess.Popen[str], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, timeout=2.0, trust_env=False)
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer: {process.poll()}")


@pytest.mark.parametrize("play", ["demo", "sample"])
def test_a_play_leaves_somebody_else_s_state_alone(play, tmp_path, monkeypatch):
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    kept = tmp_path / "state" / "tables" / "kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    result = CliRunner().invoke(main, [play])
    assert result.exit_code != 0
    assert "MLOPS_STATE" in result.output
    assert kept.read_text() == "mine"


def test_stop_with_nothing_running_says_so(tmp_path, monkeypatch):
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(main, ["stop"])
    assert result.exit_code == 0
    assert "nothing was running" in result.output


@pytest.mark.parametrize(
    ("ui_url", "options", "wanted"),
    [
        (None, {}, ("127.0.0.1", 3000, "http://127.0.0.1:3000")),
        (None, {"port": 3900}, ("127.0.0.1", 3900, "http://127.0.0.1:3900")),
        ("http://127.0.0.1:3858", {}, ("127.0.0.1", 3858, "http://127.0.0.1:3858")),
        ("http://127.0.0.1:3858", {"port": 3900}, ("127.0.0.1", 3900, "http://127.0.0.1:3900")),
        ("http://10.0.0.5:3858", {}, ("10.0.0.5", 3858, "http://10.0.0.5:3858")),
        ("http://ui.lan", {"host": "127.0.0.1", "port": 3900}, ("127.0.0.1", 3900, "http://ui.lan")),
        ("https://ui.example", {}, ("127.0.0.1", 3000, "https://ui.example")),
    ],
)
def test_the_web_server_listens_where_links_lead(ui_url, options, wanted):
    settings = Settings(ui_url=ui_url) if ui_url else Settings()
    assert web_server(settings, **options) == wanted


@pytest.mark.integration
def test_serve_answers_until_it_is_told_to_end(tmp_path):
    env = environment(tmp_path)
    server = mlops("serve", env=env)
    try:
        until_it_answers(f"{env['MLOPS_ENDPOINT_URL']}/live", server)
    finally:
        server.send_signal(signal.SIGTERM)
    server.communicate(timeout=30)
    assert server.returncode == 0


@pytest.mark.integration
def test_status_finds_what_runs_and_stop_ends_it(tmp_path, monkeypatch):
    env = environment(tmp_path)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    ensure_services(settings)
    try:
        told = CliRunner().invoke(main, ["status"])
        assert told.exit_code == 0, told.output
        assert told.output.count("answers") == 2
    finally:
        stopped = CliRunner().invoke(main, ["stop"])
    assert stopped.output.strip() == "stopped: endpoint, registry"
    assert not any(service.answers for service in services_status(settings))


@pytest.mark.live
def test_up_brings_everything_up_and_everything_ends_with_it(tmp_path):
    env, port = environment(tmp_path), free_port()
    # A day that the feed never gets to: this test is about processes.
    up = mlops("up", "--port", str(port), env={**env, "MLOPS_FEED_FROM": "2013-12-31", "MLOPS_LIVE_FROM": "2013-12-31"})
    try:
        until_it_answers(f"http://127.0.0.1:{port}/server_info", up)
        for name in ("MLOPS_REGISTRY_URI", "MLOPS_ENDPOINT_URL"):
            assert httpx.get(env[name], timeout=5.0, trust_env=False).status_code < 500
    finally:
        up.send_signal(signal.SIGINT)
    up.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _answers(env):
        time.sleep(0.2)
    assert not _answers(env)


@pytest.mark.live
def test_up_from_a_script_s_background_is_the_only_one_and_ends_on_sigterm(tmp_path):
    ui = f"http://127.0.0.1:{free_port()}"
    env = {**environment(tmp_path), "MLOPS_UI_URL": ui, "MLOPS_START_SERVICES": "0", "MLOPS_FEED_FROM": "2013-12-31"}
    script = 'trap "" INT TERM; exec "$@" >/dev/null 2>&1'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "mlops_assets.cli.main", "up"]
    first = subprocess.Popen(command, env=env)
    try:
        until_it_answers(f"{ui}/server_info", first)
        second = mlops("up", env=env)
        _, complaint = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"as process {first.pid}" in complaint
        told, _ = mlops("status", env=env).communicate(timeout=60)
        assert f"runs as process {first.pid}" in told
        first.terminate()
        first.wait(timeout=60)
        told, _ = mlops("status", env=env).communicate(timeout=60)
        assert "not started by `mlops up`" in told
    finally:
        if first.poll() is None:
            # Dagster's children outlive it when it is killed.
            for process in (*psutil.Process(first.pid).children(recursive=True), first):
                process.kill()


def _answers(env: dict[str, str]) -> bool:
    try:
        return bool(httpx.get(env["MLOPS_REGISTRY_URI"], timeout=2.0, trust_env=False))
    except httpx.HTTPError:
        return False
