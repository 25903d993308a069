"""Keys, signatures and the hand-over to production, as a person handles them."""

import stat
from pathlib import Path

from mlops_assets.adapters.registry import SIGNATURE_TAG
from mlops_assets.adapters.signatures import PRIVATE_KEY, PUBLIC_KEY, Signatures, create_keys
from mlops_assets_tests.cli.conftest import deployment_of, settings_of, typed_into
from mlops_assets_tests.conftest import FIRST, enthrone

MODEL = "arrival_delay"
WHO = ("--by", "ann", "--reason", "passed in staging")


def test_keys_are_made_once_and_the_private_one_is_its_owner_s(looks, tmp_path: Path):
    made = looks("keys", "create", tmp_path / "keys")
    assert made.exit_code == 0, made.output
    assert f"MLOPS_SIGNING_KEY={tmp_path / 'keys' / PRIVATE_KEY}" in made.stdout
    assert stat.S_IMODE((tmp_path / "keys" / PRIVATE_KEY).stat().st_mode) == 0o600
    again = looks("keys", "create", tmp_path / "keys")
    assert again.exit_code == 1
    assert PUBLIC_KEY in again.stderr
    assert "not replaced" in again.stderr


def test_a_version_is_signed_afterwards_and_verified(lived, tmp_path: Path):
    private, public = create_keys(tmp_path / "keys")
    lived.memory.registry.signatures = Signatures(private_key=private, public_key=public)
    mlops = typed_into(deployment_of(lived, settings_of(tmp_path, verify_key=public)))
    unsigned = mlops("verify", 1)
    assert unsigned.exit_code == 1
    assert "is not signed" in unsigned.stderr
    assert mlops("keys", "sign", 1).exit_code == 0
    assert lived.memory.registry.version(MODEL, 1).tags[SIGNATURE_TAG]
    assert "signature holds" in mlops("verify", 1).stdout


def test_signing_without_a_key_is_refused(acts):
    refused = acts("keys", "sign", 1)
    assert refused.exit_code == 1
    assert "MLOPS_SIGNING_KEY" in refused.stderr


def test_transfer_hands_the_exact_bytes_over_and_says_so_on_record(lived, tmp_path: Path):
    mlops = typed_into(deployment_of(lived, settings_of(tmp_path)))
    done = mlops("transfer", 1, *WHO)
    assert done.exit_code == 0, done.output
    digest = lived.memory.registry.version(MODEL, 1).digest
    assert lived.production.version(MODEL, 1).digest == digest
    line = lived.promotions.all(MODEL)[-1]
    assert (line.kind, line.by, line.evidence["digest"]) == ("transferred", "operator:ann", digest)


def test_only_what_proved_itself_here_goes_to_production_unless_forced(lived, tmp_path: Path):
    enthrone(lived, FIRST)
    mlops = typed_into(deployment_of(lived, settings_of(tmp_path)))
    assert mlops("rollback", *WHO).exit_code == 0
    refused = mlops("transfer", 2, *WHO)
    assert refused.exit_code == 1
    assert "it was rolled back on" in refused.stderr
    assert not [line for line in lived.promotions.all(MODEL) if line.kind == "transferred"]
    assert mlops("transfer", 2, "--force", *WHO).exit_code == 0
    (line,) = [line for line in lived.promotions.all(MODEL) if line.kind == "transferred"]
    assert line.evidence["forced_past"].startswith("it was rolled back on")


def test_transfer_of_another_digest_is_refused(lived, acts):
    refused = acts("transfer", 1, "--digest", "0" * 64, *WHO)
    assert refused.exit_code == 1
    assert "asked to move" in refused.stderr
    assert lived.production.versions(MODEL) == []
