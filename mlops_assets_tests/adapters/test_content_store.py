"""One contract for both content stores: what was pushed is read back as it was, or not at all."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.adapters.content_store import (
    ContentDamaged,
    ContentMissing,
    ContentStore,
    ContentUnavailable,
    MemoryContentStore,
    address,
    md5_of,
)
from mlops_assets.adapters.dvc_store import DvcStore, dvc_file, without_secrets
from mlops_assets.contracts import FilePointer
from mlops_assets.ml.bundles import digest_of
from mlops_assets_tests.pickle_streams import pickles_below

ROWS = bytes(range(256)) * 40
PATH = "arrival_delay/training/training_set/2013-03-31/rows.parquet"
Spoil = Callable[[FilePointer, bytes | None], None]


class Remote:
    """One store under test, with the hands to spoil its remote and to take it down."""

    def __init__(
        self, store: ContentStore, spoil: Callable[[FilePointer, bytes | None], None], close: Callable[[], None]
    ):
        self.store, self.spoil, self.close = store, spoil, close


def memory_remote() -> Remote:
    store = MemoryContentStore()

    def spoil(pointer: FilePointer, content: bytes | None) -> None:
        store.files.pop(pointer.md5)
        if content is not None:
            store.files[pointer.md5] = content

    return Remote(store, spoil, lambda: setattr(store, "open", False))


def file_of(pointer: FilePointer) -> Path:
    return Path(address(pointer.remote, pointer))


def dvc_remote(folder: Path) -> Remote:
    remote = folder / "remote"

    def spoil(pointer: FilePointer, content: bytes | None) -> None:
        file = file_of(pointer)
        file.chmod(0o644)
        file.unlink()
        if content is not None:
            file.write_bytes(content)
            # As DVC leaves them: it trusts a file that nobody may write.
            file.chmod(0o444)

    def close() -> None:
        remote.rename(folder / "away")
        remote.write_text("a file stands where the folder was")

    return Remote(DvcStore(folder / "state" / "dvc", str(remote)), spoil, close)


@pytest.fixture(params=["memory", "dvc"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    return memory_remote() if request.param == "memory" else dvc_remote(tmp_path)


def test_what_was_pushed_comes_back(remote: Remote) -> None:
    pointer = remote.store.push(PATH, ROWS)
    assert (pointer.path, pointer.size) == (PATH, len(ROWS))
    assert remote.store.pull(pointer, digest_of(ROWS)) == ROWS


def test_pushing_twice_gives_the_same_pointer_and_another_content_does_not_replace_the_first(remote: Remote) -> None:
    first = remote.store.push(PATH, ROWS)
    other = remote.store.push(PATH, ROWS + b"1")
    assert remote.store.push(PATH, ROWS) == first
    assert other.md5 != first.md5
    assert remote.store.pull(first, digest_of(ROWS)) == ROWS
    assert remote.store.pull(other, digest_of(ROWS + b"1")) == ROWS + b"1"


def test_a_flipped_byte_is_refused_and_both_digests_are_told(remote: Remote) -> None:
    pointer = remote.store.push(PATH, ROWS)
    flipped = bytes([ROWS[0] ^ 1]) + ROWS[1:]
    remote.spoil(pointer, flipped)
    with pytest.raises(ContentDamaged, match="damaged") as told:
        remote.store.pull(pointer, digest_of(ROWS))
    assert digest_of(ROWS) in str(told.value)
    assert digest_of(flipped) in str(told.value)
    assert pointer.md5[2:] in str(told.value)


def test_a_reader_leaves_a_damaged_file_where_it_is(tmp_path: Path) -> None:
    remote = dvc_remote(tmp_path)
    pointer = remote.store.push(PATH, ROWS)
    remote.spoil(pointer, ROWS[1:])
    with pytest.raises(ContentDamaged):
        remote.store.pull(pointer, digest_of(ROWS))
    assert file_of(pointer).read_bytes() == ROWS[1:]


def test_a_missing_file_is_named_with_the_remedy(remote: Remote) -> None:
    pointer = remote.store.push(PATH, ROWS)
    remote.spoil(pointer, None)
    with pytest.raises(ContentMissing, match="MLOPS_DATA_REMOTE") as told:
        remote.store.pull(pointer, digest_of(ROWS))
    assert pointer.md5[2:] in str(told.value)
    assert PATH in str(told.value)


def test_a_push_heals_a_missing_file(remote: Remote) -> None:
    pointer = remote.store.push(PATH, ROWS)
    remote.spoil(pointer, None)
    assert remote.store.push(PATH, ROWS) == pointer
    assert remote.store.pull(pointer, digest_of(ROWS)) == ROWS


def test_a_push_onto_a_damaged_file_does_not_count_as_kept(remote: Remote) -> None:
    pointer = remote.store.push(PATH, ROWS)
    remote.spoil(pointer, ROWS[1:])
    with pytest.raises(ContentDamaged):
        remote.store.push(PATH, ROWS)


def test_a_remote_that_is_down_takes_nothing_and_says_so(remote: Remote) -> None:
    remote.store.push(PATH, ROWS)
    remote.close()
    with pytest.raises(ContentUnavailable, match=PATH):
        remote.store.push(PATH, ROWS + b"1")


def test_dvc_leaves_no_pickle(tmp_path: Path) -> None:
    store = DvcStore(tmp_path / "state" / "dvc", str(tmp_path / "remote"))
    store.push(PATH, ROWS)
    assert list(tmp_path.rglob("cache.db"))
    assert pickles_below(tmp_path) == []


def test_a_remote_that_does_not_answer_is_named(tmp_path: Path) -> None:
    store = DvcStore(tmp_path / "dvc", "http://ann:secret@127.0.0.1:9/nobody")
    with pytest.raises(ContentUnavailable, match=r"http://127\.0\.0\.1:9/nobody") as told:
        store.push(PATH, ROWS)
    assert "secret" not in str(told.value)
    assert (tmp_path / "dvc" / ".dvc" / "config").stat().st_mode & 0o077 == 0


def test_a_remote_of_an_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContentUnavailable, match="foo://nobody"):
        DvcStore(tmp_path / "dvc", "foo://nobody").push(PATH, ROWS)


def test_pushes_at_once_from_two_states_all_arrive(tmp_path: Path) -> None:
    one, two = (DvcStore(tmp_path / name / "dvc", str(tmp_path / "remote")) for name in ("one", "two"))
    jobs = [(store, f"set/{n}/rows.parquet", ROWS + bytes([n % 3])) for n in range(6) for store in (one, two)]
    with ThreadPoolExecutor(4) as pool:
        pointers = list(pool.map(lambda job: job[0].push(job[1], job[2]), jobs))
    for (store, _, content), pointer in zip(jobs, pointers, strict=True):
        assert store.pull(pointer, digest_of(content)) == content


PUSHING = """
import sys, pathlib
from mlops_assets.adapters.dvc_store import DvcStore
root, who = pathlib.Path(sys.argv[1]), sys.argv[2]
store = DvcStore(root / "dvc", str(root / "remote"))
for n in range(4):
    pointer = store.push(f"{who}/{n}/rows.parquet", f"{n} {who}".encode() * 9999)
    print(pointer.md5, pointer.size)
"""


@pytest.mark.integration
def test_processes_that_push_at_once_from_one_state_do_not_hurt_each_other(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", PUSHING, str(tmp_path), who] for who in ("one", "two", "three")]
    pushing = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    told = [process.communicate(timeout=120)[0].split() for process in pushing]
    assert [process.returncode for process in pushing] == [0, 0, 0]
    for md5, size in ((words[n], words[n + 1]) for words in told for n in range(0, 8, 2)):
        file = tmp_path / "remote" / "files" / "md5" / md5[:2] / md5[2:]
        assert md5_of(file.read_bytes()) == md5
        assert file.stat().st_size == int(size)


@pytest.mark.integration
def test_a_pointer_and_the_remote_are_enough_for_dvc_itself(tmp_path: Path) -> None:
    pointer = DvcStore(tmp_path / "dvc", str(tmp_path / "remote")).push(PATH, ROWS)
    stranger = tmp_path / "stranger"
    (stranger / ".dvc" / "tmp").mkdir(parents=True)
    config = f"[core]\n    no_scm = true\n    remote = r\n    site_cache_dir = {stranger}/site\n"
    (stranger / ".dvc" / "config").write_text(f"{config}['remote \"r\"']\n    url = {pointer.remote}\n")
    (stranger / "rows.parquet.dvc").write_text(dvc_file(pointer))
    pull = [sys.executable, "-m", "dvc", "pull", "--quiet"]
    subprocess.run(pull, cwd=stranger, check=True, capture_output=True)
    assert (stranger / "rows.parquet").read_bytes() == ROWS


def test_dvc_tracks_the_file_under_its_own_path_and_writes_nothing_elsewhere(tmp_path: Path) -> None:
    store = DvcStore(tmp_path / "state" / "dvc", str(tmp_path / "remote"))
    pointer = store.push(PATH, ROWS)
    tracked = tmp_path / "state" / "dvc" / f"{PATH}.dvc"
    assert tracked.read_text() == dvc_file(pointer)
    assert {path.name for path in tmp_path.iterdir()} == {"state", "remote"}
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"dvc", "dvc.lock"}


def test_a_pointer_from_elsewhere_cannot_reach_out_of_its_folder(remote: Remote) -> None:
    pointer = remote.store.push(PATH, ROWS)
    assert remote.store.pull(replace(pointer, path="../../outside"), digest_of(ROWS)) == ROWS


@pytest.mark.parametrize(
    ("url", "recorded"),
    [
        ("/srv/remote", "/srv/remote"),
        ("https://ann:secret@host/path?sig=secret", "https://host/path"),
        ("s3://bucket/path", "s3://bucket/path"),
        ("ssh://ann@host:22/path", "ssh://host:22/path"),
    ],
)
def test_what_is_recorded_of_an_address_has_no_secrets(url: str, recorded: str) -> None:
    assert without_secrets(url) == recorded
