"""A signature holds for the bytes that were signed, by the owner of the key, and for nothing else."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.registry import SIGNATURE_TAG, Registry, RegistryCorrupt
from mlops_assets.adapters.signatures import KeyMissing, SignatureMissing, SignatureRefused, Signatures, create_keys
from mlops_assets.ml.bundles import bundle_digest

FILES = {"identity.json": b"{}", "bundle/model.txt": b"tree", "documents/card.md": b"# Card"}
MODEL = "arrival_delay"
BUNDLE = {"model.txt": b"tree", "signature.json": b"{}"}
DOCUMENTS = {"manifest.json": b'{"rows": 3}', "card.md": b"# Card"}


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return create_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def other_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return create_keys(tmp_path_factory.mktemp("other"))


@pytest.fixture
def signatures(pair) -> Signatures:
    return Signatures(private_key=pair[0], public_key=pair[1])


def test_what_was_signed_is_accepted(signatures: Signatures) -> None:
    signatures.check(FILES, signatures.sign(FILES), "it")


@pytest.mark.parametrize(
    "changed",
    [
        {**FILES, "bundle/model.txt": b"tref"},
        {**FILES, "documents/card.md": b"# Carp"},
        {**FILES, "identity.json": b"[]"},
        {**FILES, "documents/more.md": b""},
        {path: content for path, content in FILES.items() if path != "documents/card.md"},
    ],
)
def test_one_byte_one_file_more_or_less_is_refused(signatures: Signatures, changed: dict[str, bytes]) -> None:
    with pytest.raises(SignatureRefused, match=r"it is not what the holder of verify\.pem signed"):
        signatures.check(changed, signatures.sign(FILES), "it")


def test_another_key_is_refused(signatures: Signatures, other_pair) -> None:
    theirs = Signatures(private_key=other_pair[0]).sign(FILES)
    with pytest.raises(SignatureRefused, match="Key mismatch"):
        signatures.check(FILES, theirs, "it")


@pytest.mark.parametrize("signature", [None, ""])
def test_no_signature_is_refused_with_the_remedy(signatures: Signatures, signature: str | None) -> None:
    with pytest.raises(SignatureMissing, match="mlops keys sign"):
        signatures.check(FILES, signature, "it")


@pytest.mark.parametrize("garbage", ["{}", "no json", '{"dsseEnvelope": 1}'])
def test_a_signature_that_is_none_is_refused(signatures: Signatures, garbage: str) -> None:
    with pytest.raises(SignatureRefused):
        signatures.check(FILES, garbage, "it")


def test_an_envelope_that_names_the_right_key_but_another_signature_is_refused(signatures: Signatures) -> None:
    import base64
    import json

    good = json.loads(signatures.sign(FILES) or "")
    other = json.loads(signatures.sign({**FILES, "bundle/model.txt": b"evil"}) or "")
    good["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    assert base64.b64decode(good["dsseEnvelope"]["payload"])
    with pytest.raises(SignatureRefused):
        signatures.check({**FILES, "bundle/model.txt": b"evil"}, json.dumps(good), "it")


def test_without_keys_nothing_is_signed_and_nothing_asked() -> None:
    assert Signatures().sign(FILES) is None
    Signatures().check(FILES, None, "it")


def test_a_key_that_cannot_be_read_refuses_everything(tmp_path: Path, signatures: Signatures) -> None:
    (tmp_path / "none.pem").write_text("no key")
    none = Signatures(private_key=tmp_path / "none.pem", public_key=tmp_path / "none.pem")
    with pytest.raises(SignatureRefused, match=r"cannot sign with .*none\.pem"):
        none.sign(FILES)
    with pytest.raises(SignatureRefused):
        none.check(FILES, signatures.sign(FILES), "it")


@pytest.mark.parametrize("signed", [True, False])
def test_a_missing_key_file_is_told_as_such_also_of_what_is_not_signed(tmp_path: Path, signatures, signed) -> None:
    lost = Signatures(private_key=tmp_path / "lost.pem", public_key=tmp_path / "lost.pem")
    with pytest.raises(KeyMissing, match=r"lost\.pem: there is no such key file \(set by MLOPS_SIGNING_KEY\)"):
        lost.sign(FILES)
    with pytest.raises(KeyMissing, match=r"lost\.pem: there is no such key file \(set by MLOPS_VERIFY_KEY\)"):
        lost.check(FILES, signatures.sign(FILES) if signed else None, "it")


def test_a_private_key_is_its_owners_alone_and_never_replaced(tmp_path: Path) -> None:
    private, _ = create_keys(tmp_path / "keys")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        create_keys(tmp_path / "keys")


def test_the_librarys_own_command_accepts_the_signature(tmp_path: Path, pair, signatures: Signatures) -> None:
    for path, content in FILES.items():
        (tmp_path / "version" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "version" / path).write_bytes(content)
    (tmp_path / "signature.json").write_text(signatures.sign(FILES) or "")
    command = [sys.executable, "-m", "model_signing", "verify", "key", "--public_key", str(pair[1])]
    command += ["--signature", str(tmp_path / "signature.json"), str(tmp_path / "version")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def register(registry: Registry) -> None:
    registry.register(MODEL, "run", BUNDLE, DOCUMENTS, bundle_digest(BUNDLE), {"cutoff_day": "2013-03-31"})


def test_registration_signs_and_verification_asks_for_it(signatures: Signatures) -> None:
    registry = MemoryRegistry(signatures)
    register(registry)
    assert registry.verify(MODEL, 1) == bundle_digest(BUNDLE)


@pytest.mark.parametrize("tag", ["cutoff_day", "digest", "documents_digest"])
def test_what_a_version_says_of_itself_is_signed_too(signatures: Signatures, tag: str) -> None:
    registry = MemoryRegistry(signatures)
    register(registry)
    registry.tag(MODEL, 1, tag, "2013-04-30")
    with pytest.raises((SignatureRefused, RegistryCorrupt)):
        registry.verify(MODEL, 1)


def test_an_unsigned_version_is_refused_until_it_is_signed(signatures: Signatures, pair) -> None:
    registry = MemoryRegistry()
    register(registry)
    assert SIGNATURE_TAG not in registry.version(MODEL, 1).tags
    registry.signatures = signatures
    with pytest.raises(SignatureMissing):
        registry.verify(MODEL, 1)
    registry.sign(MODEL, 1)
    assert registry.verify(MODEL, 1) == bundle_digest(BUNDLE)


def test_a_spoilt_version_is_not_signed(signatures: Signatures) -> None:
    registry = MemoryRegistry(signatures)
    register(registry)
    registry.files[MODEL, 1]["documents/card.md"] = b"# Carp"
    with pytest.raises(RegistryCorrupt):
        registry.sign(MODEL, 1)


def test_a_document_that_vanished_with_its_record_is_missed(signatures: Signatures) -> None:
    registry = MemoryRegistry()
    register(registry)
    del registry._digests[MODEL, 1]["card.md"]
    with pytest.raises(RegistryCorrupt, match="the documents of"):
        registry.verify(MODEL, 1)
