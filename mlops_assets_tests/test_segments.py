"""One use case for each segment of another: what is derived, what is refused, and what a deployment gets of it."""

from dataclasses import replace

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.adapters.settings import Settings, SettingsError
from mlops_assets.contracts import Levels, Segment, Slice, UseCase
from mlops_assets.definitions import build_defs
from mlops_assets.ml.dataset_contracts import ARRIVALS, FLIGHTS, ORIGINS
from mlops_assets.ml.segments import of_segment
from mlops_assets.ml.training import REQUEST_FIELDS, entity_query
from mlops_assets.serving.configuration import configure
from mlops_assets.use_cases import KNOWN, USE_CASES
from mlops_assets.use_cases import use_case as find
from mlops_assets.use_cases.sample import sampled
from mlops_assets.use_cases.segments import possible, segmented, with_segments
from mlops_assets_tests.test_graph import described

PARENT = USE_CASES[0]
WANTED = ("arrival_delay", "origin")
AIRPORTS = ("EWR", "JFK", "LGA")
NAMES = ["arrival_delay__ewr", "arrival_delay__jfk", "arrival_delay__lga"]


def with_levels(column: str, *values: str) -> UseCase:
    domain = PARENT.domain
    return replace(PARENT, domain=replace(domain, levels=(*domain.levels, Levels(column=column, values=values))))


def test_three_airports_are_three_use_cases_with_the_facts_of_one():
    parts = segmented(PARENT, "origin", AIRPORTS)
    assert [part.name for part in parts] == NAMES
    assert [part.segment for part in parts] == [Segment(column="origin", value=airport) for airport in AIRPORTS]
    own = ("name", "question", "slices", "gates", "intended_use", "limits", "segment")
    for part in parts:
        assert replace(part, **{name: getattr(PARENT, name) for name in own}) == PARENT
        assert [division.name for division in part.slices] == ["carrier", "hour", "storm"]
        wider = replace(part.gates, max_calibration_error=PARENT.gates.max_calibration_error)
        assert (wider, part.gates.max_calibration_error) == (PARENT.gates, pytest.approx(0.135))


def test_its_words_say_which_decisions_it_is_for():
    ewr, *_ = segmented(PARENT, "origin", AIRPORTS)
    assert ewr.question.endswith("(origin is EWR)?")
    assert ewr.intended_use == f"{PARENT.intended_use} This model: only decisions whose origin is EWR."
    assert set(PARENT.limits) < set(ewr.limits)
    assert "origin is EWR" in entity_query(ewr, "flights", "arrivals", "2013-01-01", "2013-01-31").text
    assert "origin" not in entity_query(PARENT, "flights", "arrivals", "2013-01-01", "2013-01-31").text


def test_a_segment_keeps_slices_by_other_columns_and_may_have_none():
    bare = replace(PARENT, slices=(Slice(name="airport", column="origin"),))
    assert segmented(bare, "origin", ("EWR",))[0].slices == ()


def test_a_sample_of_a_segment_is_a_segment_of_the_sample():
    for one, other in zip(
        segmented(PARENT, "origin", AIRPORTS), segmented(sampled(PARENT), "origin", AIRPORTS), strict=True
    ):
        assert sampled(one) == replace(other, gates=sampled(PARENT).gates)


@pytest.mark.parametrize(
    ("parent", "column", "values", "told"),
    [
        (PARENT, "gate", ("A1",), "segment.column: flights states no levels of 'gate', but origin"),
        (PARENT, "origin", ("EWR", "BOS"), "segment.value: flights has no origin 'BOS'; it has EWR, JFK, LGA"),
        (PARENT, "origin", (), "segment.value: give one or more values of origin"),
        (PARENT, "origin", ("EWR", "EWR"), "segment.value: .* each once, not EWR, EWR"),
        (find("arrival_delay__ewr"), "origin", ("JFK",), "segment: arrival_delay__ewr is one already"),
        (with_levels("kind", "a b", "A-B"), "kind", ("a b", "A-B"), "segment.value: a b, A-B would be named"),
    ],
)
def test_what_no_segments_can_be_made_of_is_refused_by_field(parent, column, values, told):
    with pytest.raises(ValueError, match=told):
        segmented(parent, column, values)


@pytest.mark.parametrize("value", ["9E", "New York", "é"])
def test_a_name_is_made_of_what_keys_registry_server_and_metrics_take(value):
    (part,) = segmented(with_levels("carrier", value), "carrier", (value,))
    assert part.name in {"arrival_delay__9e", "arrival_delay__new_york", "arrival_delay___"}


def test_segments_stand_behind_their_parent_and_are_added_once():
    found = with_segments(USE_CASES, [WANTED])
    assert [use_case.name for use_case in found] == ["arrival_delay", *NAMES]
    assert with_segments(found, [WANTED, WANTED]) == found
    assert with_segments(USE_CASES, []) == USE_CASES


def test_segments_of_nobody_and_two_with_one_name_are_refused():
    with pytest.raises(ValueError, match="segment: there is no use case 'nobody'; there are arrival_delay"):
        with_segments(USE_CASES, [("nobody", "origin")])
    twice = with_levels("dest", "EWR")
    told = "segment.column: origin is EWR and dest is EWR would both be named arrival_delay__ewr"
    with pytest.raises(ValueError, match=told):
        with_segments([twice], possible([twice]))


def test_a_segment_is_found_by_name_whether_a_deployment_has_it_or_not():
    assert [use_case.name for use_case in KNOWN] == ["arrival_delay", *NAMES]
    assert find(NAMES[1]).segment == Segment(column="origin", value="JFK")


def test_levels_are_those_of_the_contract_and_every_room_has_their_column():
    (known,) = PARENT.domain.levels
    assert known.values == ORIGINS
    for dataset in (FLIGHTS, ARRIVALS):
        assert known.column in {column.name for column in dataset.columns}
    assert known.column in REQUEST_FIELDS


def test_the_rows_of_all_segments_are_all_rows_once():
    rows = pd.DataFrame({"origin": ["EWR", "LGA", "JFK", "EWR", None]})
    parts = [of_segment(rows, part.segment) for part in segmented(PARENT, "origin", AIRPORTS)]
    assert [list(part.index) for part in parts] == [[0, 3], [2], [1]]
    assert of_segment(rows, None) is rows
    assert of_segment(pd.DataFrame(), Segment(column="origin", value="EWR")).empty


def test_rows_without_the_column_of_a_segment_are_refused():
    with pytest.raises(KeyError, match="segment.column: rows with carrier have no 'origin'"):
        of_segment(pd.DataFrame({"carrier": ["UA"]}), Segment(column="origin", value="EWR"))


def test_without_the_setting_nothing_is_divided():
    assert Settings().use_cases == USE_CASES
    assert [model.name for model in configure(Settings(), USE_CASES).models] == ["arrival_delay"]


def test_one_setting_gives_every_room_the_segments(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLOPS_SEGMENTS", "arrival_delay:origin")
    settings = Settings.from_environment()
    assert settings.segments == (WANTED,)
    assert [use_case.name for use_case in settings.use_cases] == ["arrival_delay", *NAMES]
    for named in (USE_CASES, settings.use_cases):
        assert [model.name for model in configure(settings, named).models] == ["arrival_delay", *NAMES]
    (ewr,) = segmented(PARENT, "origin", ("EWR",))
    assert [model.name for model in configure(settings, [ewr]).models] == [ewr.name]
    monkeypatch.setenv("MLOPS_SAMPLE", "1")
    assert Settings.from_environment().use_cases == tuple(map(sampled, settings.use_cases))


@pytest.mark.parametrize(
    "given", ["arrival_delay", "arrival_delay:dest", "nobody:origin", ":", "arrival_delay:origin,"]
)
def test_what_is_no_use_case_and_column_is_refused_with_those_that_are(given: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLOPS_SEGMENTS", given)
    with pytest.raises(SettingsError, match=f"MLOPS_SEGMENTS must be one or more of arrival_delay:origin.*{given}"):
        Settings.from_environment()


def test_each_segment_loads_as_a_whole_set_of_assets_beside_its_parent():
    built = build_defs(settings=Settings(segments=(WANTED,)))
    dg.Definitions.validate_loadable(built)
    found, plain = described(built), described(build_defs(settings=Settings()))
    shared = {name for name in plain["assets"] if not name.startswith("arrival_delay/")}
    for owner in ("arrival_delay", *NAMES):
        start = f"{owner}/"
        named = {name: facts for name, facts in found["assets"].items() if name.startswith(start)}
        mine = {name.replace(start, "arrival_delay/"): facts for name, facts in named.items()}
        assert mine.keys() == plain["assets"].keys() - shared
        for name, wanted in {name: a for name, a in plain["assets"].items() if name not in shared}.items():
            checks = set(mine[name]["checks"]) - {"answers_are_of_its_segment"}
            assert checks == set(wanted["checks"])
            assert mine[name]["deps"] == sorted(d.replace("arrival_delay/", start) for d in wanted["deps"])
        assert {f"{owner}__{job}" for job in ("train", "retrain", "conclude", "rollback")} <= found["jobs"].keys()
        assert {f"{owner}__release", f"{owner}__remediation"} <= set(found["sensors"])
        assert f"{owner}/monitoring/decision" in found["jobs"]["flights__day"]
    assert {name: found["assets"][name] for name in shared} == {name: plain["assets"][name] for name in shared}
    asked = [n for n, a in found["assets"].items() if "answers_are_of_its_segment" in a["checks"]]
    assert asked == [f"{name}/monitoring/traffic" for name in NAMES]
