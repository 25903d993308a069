"""Who is let in: tokens, loopback, other people's pages; what a server refuses to start with."""

import datetime as dt
import logging
import secrets
import socket
import subprocess
import sys
import time

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mlops_assets.adapters.embedded import embedded_services
from mlops_assets.adapters.endpoint import EndpointRefused, HttpEndpoint
from mlops_assets.adapters.settings import Settings, SettingsError
from mlops_assets.serving import supervisor
from mlops_assets.serving.configuration import configure, refused
from mlops_assets.serving.endpoints import Endpoints
from mlops_assets.serving.guard import Guard, Needs, digest_of_token, is_loopback
from mlops_assets.serving.messages import Asked
from mlops_assets.serving.refusal import Refusal
from mlops_assets.use_cases import USE_CASES
from mlops_assets_tests.serving.processes import MODEL, Server
from mlops_assets_tests.serving.web import Web, request

PREDICT, ADMIN = "predict-token-0123456789", "admin-token-0123456789"
GUARD = Guard(digest_of_token(PREDICT.encode()), digest_of_token(ADMIN.encode()))
OPEN = ("/live", "/ready", "/ping", "/health", "/v2/health/live", "/v2/health/ready")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def guarded(rig, make_bundle):
    rig.serve(champion=(1, make_bundle(1)))
    made = Web(rig, guard=GUARD)
    yield made
    made.batcher.stop()


@pytest.fixture
def local(rig, make_bundle):
    rig.serve(champion=(1, make_bundle(1)))
    made = Web(rig, guard=Guard())
    yield made
    made.batcher.stop()


def test_health_needs_no_token_and_everything_else_does(guarded):
    for path in Endpoints(None, None, lambda: None).paths:
        endpoint, *_ = Endpoints(None, None, lambda: None).at(path.replace("{model}", MODEL))
        response = guarded(endpoint.method, path.replace("{model}", MODEL))
        assert (response.status_code == 401) == (path not in OPEN), path
        if response.status_code == 401:
            assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("token", [PREDICT, ADMIN])
def test_either_token_predicts(guarded, flight, token):
    assert guarded("POST", "/predict", request(flight()), headers=bearer(token)).status_code == 200


def test_only_the_admin_token_changes_the_server_and_it_is_told_to_the_audit(guarded, caplog):
    with caplog.at_level(logging.INFO, "mlops_assets.audit"):
        assert guarded("POST", "/admin/nudge", headers=bearer(PREDICT)).status_code == 403
        assert guarded.nudges == 0
        assert guarded("POST", "/admin/nudge", headers=bearer(ADMIN)).status_code == 202
    assert guarded.nudges == 1
    told = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" ")[2] for line in told] == ["403", "202"]
    assert all(line.startswith("POST /admin/nudge from ") for line in told)
    assert ADMIN not in caplog.text


@pytest.mark.parametrize(
    "sent",
    ["", "Bearer", f"Basic {PREDICT}", f"Bearer {PREDICT}x", f"Bearer {digest_of_token(PREDICT.encode())}"],
)
def test_what_is_no_token_of_the_server_is_401(guarded, flight, sent):
    response = guarded("POST", "/predict", request(flight()), headers={"authorization": sent})
    assert (response.status_code, response.json()["error"]["field"]) == (401, "authorization")


def test_a_caller_is_refused_before_the_body_is_read(guarded):
    refused = guarded.app.refusal(Asked("POST", "/predict"))
    assert refused.status == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8757", "localhost:8757", "[::1]:8757", "127.0.0.9"])
def test_without_tokens_loopback_is_let_in(local, flight, host):
    assert local("POST", "/predict", request(flight()), headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8757", "127.0.0.1.evil.example", "10.0.0.1", "[", ""])
def test_a_name_that_was_pointed_at_this_machine_is_not(local, host):
    response = local("GET", "/metadata", headers={"host": host})
    assert (response.status_code, response.json()["error"]["field"]) == (421, "host")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_is_not(local, site):
    headers = {"host": "localhost", "sec-fetch-site": site}
    assert local("POST", "/admin/nudge", headers=headers).status_code == 403
    assert local.nudges == 0
    assert local("GET", "/live", headers=headers | {"sec-fetch-site": "none"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "loopback"), [("localhost", True), ("127.0.0.1", True), ("[::1]", True), ("0.0.0.0", False), ("", False)]
)
def test_loopback_is_known(host, loopback):
    assert is_loopback(host) is loopback


def settings_at(url: str, **more: object) -> Settings:
    return Settings(endpoint_url=url, **more)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (settings_at("http://0.0.0.0:8757"), "MLOPS_PREDICT_TOKEN"),
        (settings_at("http://0.0.0.0:8757", predict_token=PREDICT), "MLOPS_ADMIN_TOKEN"),
        (settings_at("http://model.example:8757", admin_token=ADMIN), "MLOPS_PREDICT_TOKEN"),
        (settings_at("https://127.0.0.1:8757", tls_certificate="a.pem"), "MLOPS_TLS_KEY"),
        (settings_at("http://0.0.0.0:8757", predict_token=PREDICT, admin_token=ADMIN), None),
        (settings_at("http://127.0.0.1:8757"), None),
    ],
)
def test_what_must_not_start_does_not(settings, why, tmp_path, caplog):
    config = msgspec.structs.replace(configure(settings, USE_CASES), folder=str(tmp_path))
    found = refused(config)
    assert (found is None) if why is None else (why in found)
    if why is not None:
        assert supervisor.supervise(config) == supervisor.CANNOT_START
        assert why in caplog.text


def test_tokens_are_written_nowhere(tmp_path):
    settings = settings_at("http://127.0.0.1:8757", predict_token=PREDICT, admin_token=ADMIN)
    assert PREDICT not in repr(settings)
    written = msgspec.json.encode(configure(settings, USE_CASES)).decode()
    assert PREDICT not in written
    assert ADMIN not in written
    registry, endpoint = embedded_services(settings)
    assert "MLOPS_ADMIN_TOKEN=" in registry.command, "what does not need them is not given them"
    assert not any(PREDICT in word or ADMIN in word for word in (*registry.command, *endpoint.command))


def test_a_weak_token_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("MLOPS_PREDICT_TOKEN", "hunter2")
    with pytest.raises(SettingsError, match="MLOPS_PREDICT_TOKEN") as refusal:
        Settings.from_environment()
    assert "hunter2" not in str(refusal.value)


def test_needs_are_in_order():
    assert Needs.NOTHING < Needs.PREDICT < Needs.ADMIN
    with pytest.raises(Refusal):
        GUARD.require(Needs.ADMIN, [(b"authorization", f"Bearer {PREDICT}".encode())])


def certificate(folder):
    """A certificate of this machine's own, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    import ipaddress

    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "tls.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(private)
    return folder / "tls.pem", folder / "tls.key"


@pytest.mark.integration
@pytest.mark.parametrize("workers", [1, 2])
def test_the_real_server_speaks_tls_and_asks_for_tokens(workers, tmp_path, make_bundle, put_bundle, flight):
    public, private = certificate(tmp_path)
    server = Server(tmp_path, workers=workers)
    told = {"tls_certificate": str(public), "tls_key": str(private)}
    told |= {"predict_token_digest": digest_of_token(PREDICT.encode())}
    told |= {"admin_token_digest": digest_of_token(ADMIN.encode())}
    server.config = msgspec.structs.replace(server.config, **told)
    url = f"https://127.0.0.1:{server.config.port}"
    server.endpoint = HttpEndpoint(url, token=ADMIN, certificate=public)
    server.desire(champion=(1, put_bundle(tmp_path / "bundles", make_bundle(1))))
    try:
        server.start()
        assert server.endpoint.predict(MODEL, [flight()])[0]["arm"] == "champion"
        server.endpoint.nudge()
        stranger = HttpEndpoint(url, token=secrets.token_urlsafe(), certificate=public)
        with pytest.raises(EndpointRefused, match="401: authorization"):
            stranger.predict(MODEL, [flight()])
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(f"{url}/live", trust_env=False)
        kept = "".join(path.read_text(errors="replace") for path in tmp_path.glob("*.json"))
        assert ADMIN not in kept
        assert PREDICT not in kept
    finally:
        server.stop()


@pytest.mark.integration
def test_the_real_server_does_not_start_open_to_others(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    environment = {
        "MLOPS_STATE": str(tmp_path),
        "MLOPS_ENDPOINT_URL": f"http://0.0.0.0:{port}",
        "PATH": "/usr/bin:/bin",
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "mlops_assets.serving"], env=environment, capture_output=True, timeout=60
    )
    assert done.returncode == supervisor.CANNOT_START
    assert b"MLOPS_PREDICT_TOKEN" in done.stderr
    assert time.monotonic() - began < 30
