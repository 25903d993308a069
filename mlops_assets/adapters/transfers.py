"""From one environment's registry to another's: the exact artifact, by digest, with everything that is known of it.

Here: ``transfer``. Belongs here: what must hold before a version becomes visible elsewhere. Does not: which version
deserves it (``assets.production``, an operator), making it answer there (that environment's own releases).

Bundle, documents and signature are copied byte for byte; nothing is trained, written or signed anew. The signature
covers neither number nor run, so one that was made in staging holds in production, where the private key never is.
"""

import tempfile
from pathlib import Path

from mlops_assets.adapters.registry import (
    DOCUMENTS_DIGEST_TAG,
    SIGNATURE_TAG,
    SIGNED_TAGS,
    Registry,
    read_files,
    signed_files,
)
from mlops_assets.contracts import ModelVersion

SOURCE_REGISTRY_TAG, SOURCE_VERSION_TAG = "source_registry", "source_version"
SOURCE_RUN_TAG = "source_mlflow_run_id"


class TransferRefused(ValueError):
    """A version does not move to another environment; nothing of it is visible there."""


def transfer(source: Registry, target: Registry, model: str, version: int, digest: str) -> ModelVersion:
    """Register a version of ``source`` in ``target`` and return it as it is there; the same again gives the same.

    Everything is read back from the source and held against digests and, where a public key is configured on either
    side, the signature, before the target is touched. Raises TransferRefused, RegistryCorrupt, SignatureRefused,
    VersionMissing, RegistryUnavailable.
    """
    if source.address == target.address:
        raise TransferRefused(
            f"source and target are both {source.address}: set MLOPS_PRODUCTION_URI or MLOPS_PRODUCTION_ENVIRONMENT"
        )
    known = source.version(model, version)
    if known.digest != digest:
        raise TransferRefused(f"asked to move {model} version {version} as {digest}, but it is {known.digest}")
    bundle, documents = _read_back(source, model, version)
    signature = known.tags.get(SIGNATURE_TAG)
    what = f"{model} version {version} of {source.address}"
    target.signatures.check(signed_files(model, bundle, documents, known.tags), signature, what)
    run = target.open_run(f"{source.address} {model} {version} {digest}")
    arrived = target.register(model, run, bundle, documents, digest, _tags(source, known), signature)
    if arrived.tags.get(DOCUMENTS_DIGEST_TAG) != known.tags.get(DOCUMENTS_DIGEST_TAG):
        raise TransferRefused(
            f"{what} is in {target.address} already, as version {arrived.version} with other documents"
        )
    target.verify(model, arrived.version)
    return arrived


def _read_back(source: Registry, model: str, version: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "bundle"
        source.verify(model, version, keep=kept)
        bundle = read_files(kept)
    return bundle, {path: source.document(model, version, path) for path in source.documents(model, version)}


def _tags(source: Registry, known: ModelVersion) -> dict[str, str]:
    return {
        **{tag: known.tags[tag] for tag in SIGNED_TAGS if tag in known.tags},
        SOURCE_REGISTRY_TAG: source.address,
        SOURCE_VERSION_TAG: str(known.version),
        SOURCE_RUN_TAG: known.mlflow_run_id,
    }
