"""Every picture of a monitor is well-formed SVG that shows its facts, also where numbers are missing."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from mlops_assets.contracts import Verdict
from mlops_assets.ml.monitor_plots import COLOURS, Drawn, bars_picture, calibration_picture, history_picture
from mlops_assets_tests.ml.made_rows import day_of, judged

SVG = "{http://www.w3.org/2000/svg}"
RANDOM = np.random.default_rng(0)
SCORES = RANDOM.random(500)
BOUNDED = Drawn(number="score", high="limit")
HISTORY = [
    judged("data_drift", day_of(0), Verdict.OK, numbers={"score": 0.1, "limit": 0.2}),
    judged("data_drift", day_of(1), Verdict.UNKNOWN),
    judged("data_drift", day_of(2), Verdict.ALARM, numbers={"score": 0.3, "limit": 0.2}),
    judged("data_drift", day_of(3), Verdict.ALARM, numbers={"score": 0.4, "limit": 0.2}),
]
PICTURES = {
    "history": history_picture(HISTORY, BOUNDED),
    "history of nothing": history_picture([], BOUNDED),
    "history without numbers": history_picture(HISTORY[1:2], BOUNDED),
    "history of one day": history_picture(HISTORY[:1], BOUNDED),
    "bars": bars_picture({"a <b>": 2.0, "b": -1.0}, "far & near", 1.0),
    "bars of nothing": bars_picture({}, "nothing"),
    "bars of zero": bars_picture({"a": 0.0}, "zero"),
    "calibration": calibration_picture(SCORES, (RANDOM.random(500) < SCORES).astype(float), "calibration"),
    "calibration of nothing": calibration_picture(np.empty(0), np.empty(0), "calibration"),
    "calibration of one label": calibration_picture(np.zeros(20), np.zeros(20), "calibration"),
}


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_picture_is_well_formed_and_has_no_number_that_is_none(name: str) -> None:
    root = ET.fromstring(PICTURES[name])
    assert root.tag == f"{SVG}svg"
    assert "nan" not in PICTURES[name].lower()
    assert "inf" not in PICTURES[name].lower()


def points(picture: str) -> list[str]:
    return [circle.attrib["fill"] for circle in ET.fromstring(picture).iter(f"{SVG}circle")]


def test_every_day_is_a_point_in_the_colour_of_its_verdict() -> None:
    wanted = [COLOURS[judgement.verdict] for judgement in HISTORY]
    assert points(PICTURES["history"]) == wanted
    assert points(history_picture(HISTORY[::-1], BOUNDED)) == wanted


def test_a_day_judged_again_is_one_point_and_the_last_word_counts() -> None:
    again = judged("data_drift", day_of(3), Verdict.OK, numbers={"score": 0.1, "limit": 0.2})
    assert points(history_picture([*HISTORY, again], BOUNDED))[-1] == COLOURS[Verdict.OK]
    assert len(points(history_picture([*HISTORY, again], BOUNDED))) == len(HISTORY)


def test_equal_facts_give_equal_bytes_and_a_small_picture() -> None:
    month = [judged("rate", day_of(n), Verdict.OK, numbers={"score": n / 30, "limit": 1.0}) for n in range(30)]
    assert history_picture(month, BOUNDED) == history_picture(list(month), BOUNDED)
    assert len(history_picture(month, BOUNDED)) < 6000


def test_a_bar_beyond_its_limit_is_in_alarm() -> None:
    filled = [r.attrib["fill"] for r in ET.fromstring(PICTURES["bars"]).iter(f"{SVG}rect")]
    assert COLOURS[Verdict.ALARM] in filled
    assert "a &lt;b&gt;" in PICTURES["bars"]
