"""The content store on DVC: a repository without SCM in the state folder, and the remote it pushes to.

Here: ``DvcStore``. Belongs here: every setting of the dvc package. Does not: the promises (``content_store``), which
remote (``Settings.data_remote``).

Through ``dvc.repo.Repo`` in this process: import 0.2 s, then 0.2 s to add and push 20 MB. The command line takes 0.5 to
1 s for each of its calls. Reading goes through ``dvc.api``, never through ``dvc pull``: that one trusts a file in the
cache, says "missing" of a damaged one, and takes a damaged one out of the remote, which is not the reader's.
"""

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.content_store import ContentMissing, ContentStore, ContentUnavailable, md5_of, missing
from mlops_assets.adapters.locks import locked
from mlops_assets.contracts import FilePointer

if TYPE_CHECKING:
    from dvc.repo import Repo

REMOTE = "training-sets"


class DvcStore(ContentStore):
    """Files in a DVC remote."""

    def __init__(self, root: Path, remote: str) -> None:
        """``root`` becomes the DVC repository; ``remote`` is any address that DVC knows."""
        self._root = root
        self._url = remote

    @property
    def remote(self) -> str:
        """As in ContentStore."""
        return without_secrets(self._url)

    def _push(self, path: str, content: bytes) -> FilePointer:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        pointer = FilePointer(path=path, md5=md5_of(content), size=len(content), remote=self.remote)
        # DVC's own lock gives up after three seconds; a push may take longer.
        with locked(self._root.parent / f"{self._root.name}.lock"):
            file = self._root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            # Not overwritten: what DVC tracks is a hard link into its cache.
            file.unlink(missing_ok=True)
            file.write_bytes(content)
            try:
                configure(self._root, self._url)
                with contextlib.closing(Repo(str(self._root))) as repo:
                    keep_no_links(repo)
                    repo.add(str(file))
                    repo.push(targets=[f"{file}.dvc"])
            except (DvcException, OSError, ImportError, ValueError) as error:
                raise ContentUnavailable(
                    f"{path} was not pushed to {self.remote}: {error}. Bring that remote up, or set "
                    "MLOPS_DATA_REMOTE to one that can be written, and materialize the asset again."
                ) from error
        return pointer

    def _pull(self, pointer: FilePointer) -> bytes:
        """From the remote and nowhere else: a repository of its own, without a cache, for each reading."""
        import dvc.api
        from dvc.exceptions import DvcException

        with tempfile.TemporaryDirectory() as folder:
            here = replace(pointer, path="content")
            (Path(folder) / "content.dvc").write_text(dvc_file(here))
            try:
                configure(Path(folder), self._url)
                return dvc.api.read(here.path, repo=folder, mode="rb")
            except DvcException as error:
                raise ContentMissing(missing(self.remote, pointer)) from error
            except (OSError, ImportError) as error:
                raise ContentMissing(missing(self.remote, pointer, error)) from error


def keep_no_links(repo: "Repo") -> None:
    """Let DVC not note which files it linked: it pickles the notes, and only ``dvc checkout`` reads them."""
    repo.state.set_link = lambda path, inode, mtime: None


def dvc_file(pointer: FilePointer) -> str:
    """The text of the ``.dvc`` file: with it and the remote, ``dvc pull`` works in any DVC repository."""
    name = Path(pointer.path).name
    return f"outs:\n- md5: {pointer.md5}\n  size: {pointer.size}\n  hash: md5\n  path: {name}\n"


def configure(root: Path, remote: str) -> None:
    """Make ``root`` a DVC repository without SCM that has this remote; nothing is written outside of it."""
    config = root / ".dvc" / "config"
    (root / ".dvc" / "tmp").mkdir(parents=True, exist_ok=True)
    # An address may hold a password: for the owner's eyes, before anything is in it.
    config.touch(mode=0o600)
    config.write_text(
        "[core]\n"
        "    no_scm = true\n"
        "    analytics = false\n"
        "    check_update = false\n"
        f"    remote = {REMOTE}\n"
        f'    site_cache_dir = "{root / ".dvc" / "site"}"\n'
        "[cache]\n"
        "    type = reflink,hardlink,copy\n"
        f"['remote \"{REMOTE}\"']\n"
        f'    url = "{remote}"\n'
    )


def without_secrets(url: str) -> str:
    """The address without a user's name, password or query: it is recorded for everybody to read."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
