"""Files that assets hand to each other: named, written whole or not at all.

Here: the ``Artifacts`` interface, its folder and its in-memory twin. Belongs here: bytes under a path.
Does not: tables (``adapters.tables``), registered versions (``adapters.registry``), any idea of what the bytes mean.
"""

import os
import uuid
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath


class ArtifactMissing(KeyError):
    """Nothing was stored under that path; the message says what writes it."""


class Artifacts(ABC):
    """Bytes by path. A path is relative, with forward slashes: ``arrival_delay/models/model/2013-03-31/model.txt``."""

    @abstractmethod
    def put(self, path: str, content: bytes) -> None:
        """Store the bytes; whoever reads sees the old content or the new, never a half."""

    @abstractmethod
    def get(self, path: str) -> bytes:
        """The bytes. Raises ArtifactMissing."""

    @abstractmethod
    def list(self, folder: str) -> list[str]:
        """The paths below a folder, relative to it, sorted."""

    def put_all(self, folder: str, files: dict[str, bytes]) -> None:
        """Store several files under one folder."""
        for name, content in files.items():
            self.put(f"{folder}/{name}", content)

    def get_all(self, folder: str) -> dict[str, bytes]:
        """Every file of a folder by its relative path. Raises ArtifactMissing when there is none."""
        names = self.list(folder)
        if not names:
            raise _missing(folder)
        return {name: self.get(f"{folder}/{name}") for name in names}


class MemoryArtifacts(Artifacts):
    """The in-memory twin."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def put(self, path: str, content: bytes) -> None:
        self._files[_checked(path)] = bytes(content)

    def get(self, path: str) -> bytes:
        if path not in self._files:
            raise _missing(path)
        return self._files[path]

    def list(self, folder: str) -> list[str]:
        prefix = f"{_checked(folder)}/"
        return sorted(path.removeprefix(prefix) for path in self._files if path.startswith(prefix))


class FolderArtifacts(Artifacts):
    """Files below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: str, content: bytes) -> None:
        target = self._root / _checked(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        unfinished.write_bytes(content)
        os.replace(unfinished, target)

    def get(self, path: str) -> bytes:
        try:
            return (self._root / _checked(path)).read_bytes()
        except FileNotFoundError:
            raise _missing(path) from None

    def list(self, folder: str) -> list[str]:
        root = self._root / _checked(folder)
        found = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(path.relative_to(root).as_posix() for path in found)


def _checked(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ValueError(f"artifact path {path!r} must be relative and stay inside its folder")
    return path


def _missing(path: str) -> ArtifactMissing:
    asset = "/".join(path.split("/")[:3])
    return ArtifactMissing(f"nothing is stored at {path}: materialize the asset {asset} for that partition first")
