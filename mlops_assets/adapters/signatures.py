"""Signatures of versions: who vouches for the bytes, by the OpenSSF model-signing format.

Here: ``Signatures``, which signs and checks a set of files with one key pair, and making such a pair. Belongs here:
everything about keys. Does not: which files a version consists of (``adapters.registry``), refusing to serve
(``serving.reconciler``).

A signature is a Sigstore bundle: a DSSE envelope around the SHA-256 of every file, signed with an elliptic-curve key.
`model_signing verify` of the same library reads it too. Digests alone show that bytes rotted; somebody who may write
to the registry can change a digest with the bytes, but cannot sign.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PRIVATE_KEY, PUBLIC_KEY = "signing.pem", "verify.pem"


class SignatureRefused(ValueError):
    """A signature is not one of the configured key over these bytes."""

    why = "signature"


class SignatureMissing(SignatureRefused):
    """A public key is configured and the version carries no signature."""

    why = "unsigned"


class KeyMissing(SignatureRefused):
    """The file of a configured key does not exist: nothing can be said of any version."""

    why = "key"


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """Signs with the private key and checks with the public one, each where it is configured."""

    private_key: Path | None = None
    """PEM file of an elliptic-curve key (P-256, P-384 or P-521), without a password. None: nothing is signed."""
    public_key: Path | None = None
    """PEM file of the other half. None: nothing is checked."""

    def sign(self, files: Mapping[str, bytes]) -> str | None:
        """The signature over these files as JSON text, or None without a private key.

        Raises KeyMissing, and SignatureRefused when the key cannot be used.
        """
        if self.private_key is None:
            return None
        _must_exist(self.private_key, "cannot sign with", "MLOPS_SIGNING_KEY")
        from model_signing import signing

        with _laid_out(files) as (folder, signature):
            try:
                signing.Config().use_elliptic_key_signer(private_key=self.private_key).sign(folder, signature)
            except Exception as error:
                raise SignatureRefused(f"cannot sign with {self.private_key}: {_told(error)}") from error
            return signature.read_text()

    def check(self, files: Mapping[str, bytes], signature: str | None, what: str) -> None:
        """Refuse files that the holder of the private key did not sign; without a public key nothing is checked.

        ``what`` names them in the error. Raises KeyMissing, SignatureMissing, SignatureRefused.
        """
        if self.public_key is None:
            return
        _must_exist(self.public_key, f"cannot check the signature of {what} with", "MLOPS_VERIFY_KEY")
        if not signature:
            raise SignatureMissing(
                f"{what} is not signed, and only signed versions are trusted here: sign it with `mlops keys sign`"
            )
        from model_signing import verifying

        with _laid_out(files) as (folder, written):
            written.write_text(signature)
            try:
                verifying.Config().use_elliptic_key_verifier(public_key=self.public_key).verify(folder, written)
            except Exception as error:
                raise SignatureRefused(
                    f"{what} is not what the holder of {self.public_key.name} signed: {_told(error)}"
                ) from error


def create_keys(folder: Path) -> tuple[Path, Path]:
    """Make a key pair (P-256) in a folder: the private and the public file.

    Raises FileExistsError: a private key that was replaced would take its signatures with it.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / PUBLIC_KEY).exists():
        raise FileExistsError(f"{folder / PUBLIC_KEY} exists: keys are not replaced")
    # Only its owner ever could read it, also in the instant between creating and writing.
    with os.fdopen(os.open(folder / PRIVATE_KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    (folder / PUBLIC_KEY).write_bytes(public)
    return folder / PRIVATE_KEY, folder / PUBLIC_KEY


@contextmanager
def _laid_out(files: Mapping[str, bytes]) -> Iterator[tuple[Path, Path]]:
    """The files below a folder of their own, and the place of the signature beside it."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "version"
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        yield folder, Path(root) / "signature.json"


def _must_exist(key: Path, cannot: str, variable: str) -> None:
    if not key.is_file():
        raise KeyMissing(f"{cannot} {key}: there is no such key file (set by {variable})")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
