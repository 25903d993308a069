"""A planted pickle is found wherever it is hidden, and honest bytes are not taken for one."""

import base64
import gzip
import json
import pickle
import random
import sqlite3
import zipfile
import zlib
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets_tests.pickle_streams import pickles_below

EVIL = {"weights": [1.0, 2.5], "name": Path("model"), "nested": {"a": (1, 2, None)}}


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_of_every_protocol_is_found(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "model.txt").write_bytes(pickle.dumps(EVIL, protocol))
    assert pickles_below(tmp_path) == ["model.txt"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_in_the_middle_of_other_bytes_is_found(tmp_path: Path, protocol: int) -> None:
    noise = random.Random(7).randbytes(5000)
    (tmp_path / "blob").write_bytes(noise + pickle.dumps(EVIL, protocol) + noise)
    assert pickles_below(tmp_path) == ["blob"]


def test_a_pickle_in_an_archive_of_an_archive_is_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "inner.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/model.bin", pickle.dumps(EVIL))
    with zipfile.ZipFile(tmp_path / "outer.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "inner.zip", "inner.zip")
    (tmp_path / "inner.zip").unlink()
    assert pickles_below(tmp_path) == ["outer.skops!inner.zip!deep/model.bin"]


def test_a_compressed_pickle_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(pickle.dumps(EVIL)))
    (tmp_path / "b.joblib").write_bytes(zlib.compress(pickle.dumps(EVIL)))
    assert pickles_below(tmp_path) == ["a.gz!gzip", "b.joblib!zlib"]


@pytest.mark.parametrize("compression", ["snappy", "zstd", None])
def test_a_pickle_in_a_column_is_found(tmp_path: Path, compression: str | None) -> None:
    frame = pd.DataFrame({"day": ["2013-04-01"] * 3, "payload": [b"", b"plain", pickle.dumps(EVIL)]})
    frame.to_parquet(tmp_path / "rows.parquet", compression=compression)
    assert "rows.parquet!payload" in pickles_below(tmp_path)


def test_a_pickle_in_a_database_is_found(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as database:
        database.execute("CREATE TABLE runs (id INTEGER, body BLOB, note TEXT)")
        database.execute("INSERT INTO runs VALUES (1, ?, 'fine')", (pickle.dumps(EVIL),))
    assert pickles_below(tmp_path) == ["store.db!runs.body"]


def test_a_pickle_in_base64_is_found(tmp_path: Path) -> None:
    text = base64.b64encode(pickle.dumps(EVIL)).decode()
    (tmp_path / "config.json").write_text(json.dumps({"model": text}))
    assert pickles_below(tmp_path) == ["config.json!base64"]


def test_honest_bytes_are_no_pickles(tmp_path: Path) -> None:
    noise = random.Random(11)
    for number in range(8):
        (tmp_path / f"noise{number}").write_bytes(noise.randbytes(1_000_000))
    (tmp_path / "text.txt").write_text("tree\nversion=v4\nI am a sentence.")
    (tmp_path / "facts.json").write_text(json.dumps({"digest": "ab" * 32, "gate": [1.5, None, "gASomething"]}))
    pd.DataFrame({"x": range(1000), "y": [str(n) for n in range(1000)]}).to_parquet(tmp_path / "rows.parquet")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "plain")
    assert pickles_below(tmp_path) == []
