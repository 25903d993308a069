"""The faults themselves: each breaks what it says, and no more."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from mlops_assets.drills.corrupted_artifact import flip
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.slow_model import slowed
from mlops_assets.drills.stale_features import drop_writes, take_writes
from mlops_assets.ml.logistic import Category, Design, to_onnx
from mlops_assets.ml.onnx_engine import OnnxEngine

FEATURES = 4


@pytest.fixture
def logistic():
    design = Design(
        width=FEATURES,
        numbers=np.arange(3),
        means=np.zeros(3),
        scales=np.ones(3),
        gaps=np.array([0]),
        gap_shares=np.array([0.1]),
        categories=(Category(position=3, shares=np.array([0.3, 0.7])),),
    )
    return to_onnx(design, np.random.default_rng(0).normal(size=6), 0.1)


def test_a_slowed_model_says_the_same_to_the_last_bit_and_does_more(logistic):
    import onnx

    slow = slowed(logistic, width=8, layers=5)
    rows = np.random.default_rng(1).normal(size=(50, FEATURES))
    rows[:, 3], rows[0, 1] = 1.0, np.nan
    told, same = (OnnxEngine(content, features=FEATURES) for content in (logistic, slow))
    for part in (rows, rows[:1]):
        assert told.predict(part).tobytes() == same.predict(part).tobytes()
    products = [sum(n.op_type == "MatMul" for n in onnx.load_from_string(c).graph.node) for c in (logistic, slow)]
    assert products[1] - products[0] == 5 + 2


def test_writes_to_the_online_store_are_dropped_in_silence_until_they_are_let_in_again(tmp_path):
    store = tmp_path / "online.db"
    write = "INSERT INTO delays VALUES ('EWR', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("CREATE TABLE delays (key TEXT PRIMARY KEY, value REAL)")
        connection.execute(write, (1.0,))
        connection.commit()
        assert drop_writes(store) == 1
        connection.execute(write, (2.0,))
        connection.execute("INSERT INTO delays VALUES ('JFK', 3.0)")
        connection.commit()
        assert connection.execute("SELECT * FROM delays").fetchall() == [("EWR", 1.0)]
        take_writes(store)
        connection.execute(write, (4.0,))
        assert connection.execute("SELECT * FROM delays").fetchall() == [("EWR", 4.0)]


def test_a_store_without_tables_cannot_be_made_stale(tmp_path):
    with pytest.raises(DrillFailed, match="no tables of features"):
        drop_writes(tmp_path / "empty.db")


def test_one_bit_flips(tmp_path):
    file = tmp_path / "model.txt"
    file.write_bytes(bytes(100))
    flip(file)
    assert sum(bin(byte).count("1") for byte in file.read_bytes()) == 1
