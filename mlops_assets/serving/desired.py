"""What should serve: the one file in which the reconciler and the worker meet.

Here: the types of the desired state, reading and replacing the file. Belongs here: its format. Does not: finding out
what it should say (``serving.reconciler``), acting on it (``serving.follower``).
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mlops_assets.serving.configuration import ServedModel


class DesiredArm(msgspec.Struct, frozen=True, kw_only=True):
    """One version that should hold an arm; its bundle lies verified and tried under its digest."""

    version: int
    digest: str


class RefusedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that the registry puts into an arm and that may not serve."""

    arm: str
    version: int
    why: str
    """unsigned, signature (a wrong one), key (its file is missing), corrupt (a digest), load (it does not),
    unavailable (it cannot be fetched)."""


class DesiredModel(msgspec.Struct, frozen=True, kw_only=True):
    """What should serve one model."""

    facts: ServedModel
    arms: Mapping[str, DesiredArm] = {}
    canary_basis_points: int = 0
    problems: tuple[str, ...] = ()
    """Why the arms are not what the registry says, or what the registry could not tell."""
    refused: tuple[RefusedVersion, ...] = ()


class DesiredState(msgspec.Struct, frozen=True, kw_only=True):
    """What should serve, of every model."""

    models: tuple[DesiredModel, ...] = ()
    preparing: int = 0
    """Models that are registered and not among them yet: their bundles are still being fetched."""

    def model(self, name: str) -> DesiredModel | None:
        """The entry of that model, or None."""
        return next((m for m in self.models if m.facts.name == name), None)


def read_desired(path: Path) -> DesiredState | None:
    """The desired state, or None while there is none. Raises msgspec.DecodeError when the file is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=DesiredState)
    except FileNotFoundError:
        return None


def write_desired(path: Path, state: DesiredState) -> None:
    """Replace the desired state: a reader sees the old file or the new one, also after a power cut."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(state, order="sorted")))


def replace_file(path: Path, content: bytes) -> None:
    """Put ``content`` in place of a file, atomically and durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
