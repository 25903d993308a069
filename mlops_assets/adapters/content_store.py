"""The content store: files that must outlive every table and every machine, named by their content.

Here: the interface ``ContentStore``, its errors and its in-memory twin. Belongs here: what every such store promises
(a file counts as kept only when it was read back). Does not: the real one (``adapters.dvc_store``), files that assets
merely hand to each other (``adapters.artifacts``).
"""

import hashlib
from abc import ABC, abstractmethod

from mlops_assets.contracts import FilePointer
from mlops_assets.ml.bundles import digest_of


class ContentUnavailable(ConnectionError):
    """The remote takes nothing: it is down, full, read-only or wrongly addressed."""


class ContentMissing(LookupError):
    """The remote does not give the file: it is not there, or the remote does not answer."""


class ContentDamaged(ValueError):
    """The remote gives other bytes than were pushed."""


class ContentStore(ABC):
    """Files in a remote, by pointer."""

    @property
    @abstractmethod
    def remote(self) -> str:
        """Address of the remote, without credentials."""

    def push(self, path: str, content: bytes) -> FilePointer:
        """Keep a file, under a relative path for people. Returns once the remote has given the same bytes back.

        The same content again is kept once. Raises ContentUnavailable; ContentDamaged when the remote already held
        other bytes in its place.
        """
        pointer = self._push(path, content)
        self.pull(pointer, digest_of(content))
        return pointer

    @abstractmethod
    def _push(self, path: str, content: bytes) -> FilePointer:
        """Bring the file to the remote. Raises ContentUnavailable."""

    def pull(self, pointer: FilePointer, digest: str) -> bytes:
        """The file as it was pushed: ``digest`` is its SHA-256. Raises ContentMissing, ContentDamaged."""
        content = self._pull(pointer)
        if (found := digest_of(content)) != digest:
            raise ContentDamaged(
                f"{address(self.remote, pointer)} is damaged: the file pushed as {pointer.path} had {pointer.size} "
                f"bytes with SHA-256 {digest}, what lies there now has {len(content)} bytes with {found}. Take it away "
                "there, and push the file again from a machine that still has it (materialize its asset)."
            )
        return content

    @abstractmethod
    def _pull(self, pointer: FilePointer) -> bytes:
        """What the remote holds now. Raises ContentMissing."""


class MemoryContentStore(ContentStore):
    """The twin. A test may change ``files`` to play a remote whose disk went bad, or close it to play one down."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        """MD5 -> content."""
        self.open = True

    @property
    def remote(self) -> str:
        """As in ContentStore."""
        return "memory"

    def _push(self, path: str, content: bytes) -> FilePointer:
        if not self.open:
            raise ContentUnavailable(f"{path} cannot be pushed to the memory of this process: it is closed")
        md5 = md5_of(content)
        self.files.setdefault(md5, bytes(content))
        return FilePointer(path=path, md5=md5, size=len(content), remote=self.remote)

    def _pull(self, pointer: FilePointer) -> bytes:
        if not self.open or pointer.md5 not in self.files:
            raise ContentMissing(missing(self.remote, pointer, "closed" if not self.open else ""))
        return self.files[pointer.md5]


def md5_of(content: bytes) -> str:
    """DVC's address of a content; no security rests on it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def address(remote: str, pointer: FilePointer) -> str:
    """Where DVC keeps the file in a remote."""
    return f"{remote}/files/md5/{pointer.md5[:2]}/{pointer.md5[2:]}"


def missing(remote: str, pointer: FilePointer, cause: object = "") -> str:
    """What to say of a file that the remote does not give."""
    told = f" ({cause})" if cause else ""
    return (
        f"{address(remote, pointer)} is not there, or the remote does not answer{told}: it is the file that was pushed "
        f"to {pointer.remote} as {pointer.path}. Set MLOPS_DATA_REMOTE to a remote that holds it."
    )
