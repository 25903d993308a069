"""Who answers whom, what is logged, and what happens when a part fails."""

import msgspec
import numpy as np
import pytest

from mlops_assets.adapters.online_reader import OnlineReader, OnlineStoreError
from mlops_assets.adapters.traffic_log import MemoryTrafficLog, TrafficLogError, vector
from mlops_assets.ml.bundles import MODEL_FILE, Missing, ViewInput
from mlops_assets.serving.arms import bucket
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.refusal import Refusal
from mlops_assets_tests.serving.conftest import AT

FACTS_WITHOUT_FALLBACK = {"name": "arrival_delay", "entity_id": "flight_id", "timezone": "America/New_York"}


def package_score(files, values) -> float:
    import lightgbm

    return lightgbm.Booster(model_str=files[MODEL_FILE].decode()).predict([values], num_iteration=10)[0]


def test_the_champion_answers_with_the_packages_own_score(rig, make_bundle, flight):
    digests = rig.serve(champion=(3, files := make_bundle(1)))
    (answer,) = rig.ask(flight(request_id="r1"))
    assert answer == {
        "request_id": "r1",
        "entity_id": "2013-04-01_UA1_EWR_IAH",
        "score": package_score(files, [2.0, 1400.0, 600.0, 9.2, 51.5, 0.25]),
        "arm": "champion",
        "version": 3,
        "digest": digests["champion"],
        "missing": 0,
    }


def test_a_transformation_feeds_the_model(rig, make_bundle, flight):
    rig.serve(champion=(1, files := make_bundle(1, transformed=True)))
    (answer,) = rig.ask(flight(sched_dep_minute=605))
    assert answer["score"] == package_score(files, [2.0, 1400.0, 605.0, 9.2, 51.5, 0.25, 10.0])


def test_the_log_holds_the_vector_bit_for_bit_and_the_raw_request(rig, make_bundle, flight):
    digests = rig.serve(champion=(3, make_bundle(1)))
    (answer,) = rig.ask(flight(request_id="r1", carrier="ZZ", event_time="2013-04-02T03:00:00Z"))
    assert answer["missing"] == 3, "two values are too old, and nobody knows the carrier"
    (record,) = rig.log.read("2013-04-01")
    columns = rig.log.features(record.features_digest)
    kept = vector(record, columns)
    assert np.isnan(kept.pop("carrier"))
    assert kept == {
        "distance": 1400.0,
        "sched_dep_minute": 600.0,
        "origin_weather__wind_speed": pytest.approx(np.nan, nan_ok=True),
        "origin_weather__temp": pytest.approx(np.nan, nan_ok=True),
        "carrier_delays__late_rate": pytest.approx(np.nan, nan_ok=True),
    }
    assert (record.request["carrier"], record.missing) == ("ZZ", 3)
    assert record.feature_times == {"origin_weather": None, "carrier_delays": None}
    assert (record.digest, record.features_digest) == (digests["champion"], digests["champion"])


def test_the_canary_answers_its_share_and_always_the_same_entities(rig, make_bundle, flight):
    rig.serve(share=2000, champion=(1, make_bundle(1)), canary=(2, make_bundle(2)))
    arms = {}
    for first in range(0, 1000, 50):
        for answer in rig.ask(*(flight(n) for n in range(first, first + 50))):
            arms[answer["entity_id"]] = answer["arm"]
    assert 150 < list(arms.values()).count("canary") < 250
    again = {a["entity_id"]: a["arm"] for a in rig.ask(*(flight(n) for n in range(50)))}
    assert again == {entity: arms[entity] for entity in again}
    assert all((bucket("arrival_delay", e) < 2000) == (arm == "canary") for e, arm in arms.items())


def test_a_larger_share_keeps_the_entities_of_the_smaller(rig, make_bundle, flight):
    rows = [flight(n) for n in range(50)]
    bundles = {"champion": (1, make_bundle(1)), "canary": (2, make_bundle(2))}
    rig.serve(share=2000, **bundles)
    before = {a["entity_id"] for a in rig.ask(*rows) if a["arm"] == "canary"}
    rig.serve(share=5000, **bundles)
    assert before <= {a["entity_id"] for a in rig.ask(*rows) if a["arm"] == "canary"}


def test_every_arm_scores_every_row_and_the_shadow_never_answers(rig, make_bundle, flight):
    rig.serve(share=5000, champion=(1, make_bundle(1)), canary=(2, make_bundle(2)), shadow=(3, make_bundle(3)))
    answers = rig.ask(*(flight(n) for n in range(50)))
    assert {a["arm"] for a in answers} == {"champion", "canary"}
    for record in rig.log.read():
        assert [(s.arm, s.version) for s in record.scores] == [("champion", 1), ("canary", 2), ("shadow", 3)]
        assert record.score == next(s.score for s in record.scores if s.arm == record.arm)
        assert len({s.score for s in record.scores}) == 3


def test_without_a_champion_the_declared_fallback_answers_and_the_others_still_score(rig, make_bundle, flight):
    rig.serve(share=10_000, canary=(2, make_bundle(2)))
    (answer,) = rig.ask(flight())
    assert (answer["arm"], answer["version"], answer["digest"], answer["score"]) == ("fallback", None, None, 0.24)
    (record,) = rig.log.read()
    assert [s.arm for s in record.scores] == ["canary"]


def test_with_nothing_loaded_the_fallback_answers_whoever_names_its_entity(rig, flight):
    rig.serve()
    assert rig.ask(flight())[0]["arm"] == "fallback"
    with pytest.raises(Refusal, match="flight_id is missing"):
        rig.ask({"event_time": "2013-04-01T12:00:00Z"})


def test_without_a_fallback_nothing_loaded_is_503(rig, flight):
    from mlops_assets.serving.configuration import ServedModel

    rig.serve(facts=ServedModel(**FACTS_WITHOUT_FALLBACK))
    with pytest.raises(Refusal) as refused:
        rig.ask(flight())
    assert refused.value.status == 503
    assert rig.plane.ready()[0] is False


def test_a_repeated_request_id_gets_the_same_answer_and_one_record(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    first = rig.ask(flight(request_id="r1"))
    rig.serve(champion=(2, make_bundle(2)))
    assert rig.ask(flight(request_id="r1")) == first
    assert len(rig.log.read()) == 1


def test_a_request_id_of_another_decision_is_refused(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    rig.ask(flight(1, request_id="r1"))
    with pytest.raises(Refusal) as refused:
        rig.ask(flight(3, request_id="r3"), flight(2, request_id="r1"))
    assert (refused.value.status, refused.value.field) == (409, "rows[1].request_id")
    assert len(rig.log.read()) == 1


def test_one_batch_of_many_requests_answers_each_with_its_own(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    bodies = [
        [flight(1, request_id="a"), flight(2)],
        [flight(1, request_id="a")],
        [flight(9, request_id="a")],
        [flight(3, distance=10)],
    ]
    checked = [rig.plane.check(msgspec.json.encode({"model": "arrival_delay", "rows": rows})) for rows in bodies]
    first, same, stolen, other = rig.plane.predict(checked)
    assert first[0] == same[0]
    assert isinstance(stolen, Refusal)
    assert other[0]["entity_id"] == "2013-04-01_UA3_EWR_IAH"
    assert len(rig.log.read()) == 3


class Raced(MemoryTrafficLog):
    """A log in which another replica keeps an answer between this one's look and its append."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def find(self, request_ids):
        return {}

    def append(self, records, features=None):
        super().append([self.other])
        return super().append(records, features)


@pytest.mark.parametrize("of_the_same_decision", [True, False])
def test_what_another_replica_answered_a_moment_ago_is_the_answer(rig, make_bundle, flight, of_the_same_decision):
    rig.serve(champion=(1, make_bundle(1)))
    rig.ask(flight(request_id="a"))
    (other,) = rig.log.read()
    other = msgspec.structs.replace(other, score=0.5, arm="canary")
    if not of_the_same_decision:
        other = msgspec.structs.replace(other, entity_id="another")
    plane = DataPlane(Raced(other), rig.online, rig.plane.transformations)
    plane.adopt(rig.plane.states)
    rows = [flight(request_id="a"), flight(2, request_id="b")]
    (outcome,) = plane.predict([plane.check(msgspec.json.encode({"model": "arrival_delay", "rows": rows}))])
    if of_the_same_decision:
        assert [(answer["request_id"], answer["arm"]) for answer in outcome] == [("a", "canary"), ("b", "champion")]
        assert outcome[0]["score"] == 0.5
    else:
        assert (outcome.status, outcome.field) == (409, "rows[0].request_id")


class FullDisk(MemoryTrafficLog):
    def append(self, records, features=None):
        raise TrafficLogError("database or disk is full")


def test_an_answer_that_cannot_be_logged_is_not_given(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    plane = DataPlane(FullDisk(), rig.online, rig.plane.transformations)
    plane.adopt(rig.plane.states)
    (outcome,) = plane.predict([plane.check(msgspec.json.encode({"model": "arrival_delay", "rows": [flight()]}))])
    assert isinstance(outcome, Refusal)
    assert outcome.status == 503
    assert "disk is full" in plane.ready()[1][0]
    assert plane.metrics.value("mlops_traffic_log_errors_total") == 1


def test_an_arm_that_fails_leaves_its_share_to_the_champion_and_is_told(rig, make_bundle, flight):
    rig.serve(share=10_000, champion=(1, make_bundle(1)), canary=(2, make_bundle(2, transformed=True)))
    assert rig.ask(flight())[0]["arm"] == "canary"
    (answer,) = rig.ask(flight(sched_dep_minute=1439))
    assert (answer["arm"], answer["version"]) == ("champion", 1)
    assert "canary cannot score" in rig.plane.ready()[1][0]
    assert rig.plane.metrics.value("mlops_arm_errors_total", arm="canary") == 1


def test_a_request_in_flight_ends_with_the_state_it_was_checked_against(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    checked = rig.plane.check(msgspec.json.encode({"model": "arrival_delay", "rows": [flight()]}))
    rig.serve(champion=(2, make_bundle(2)))
    assert rig.plane.predict([checked])[0][0]["version"] == 1


def test_metadata_tells_arms_shares_and_digests(rig, make_bundle):
    digests = rig.serve(share=2000, champion=(1, make_bundle(1)), canary=(2, make_bundle(2)))
    status = rig.plane.status("arrival_delay")
    assert [(a.arm, a.version, a.basis_points) for a in status.arms] == [("champion", 1, 8000), ("canary", 2, 2000)]
    assert status.arm("canary").digest == digests["canary"]
    assert status.ready
    assert status.problems == ()


def test_missing_features_are_counted_by_view(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    rig.ask(flight(carrier="ZZ"), flight())
    assert rig.plane.metrics.value("mlops_missing_features_total", view="carrier_delays") == 1
    assert rig.plane.metrics.value("mlops_missing_features_total", view="origin_weather") == 0


def test_missing_features_are_counted_by_feature_and_reason_and_views_have_an_age(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    rig.online.put("origin_weather", "JFK", AT - 1800, {"wind_speed": None, "temp": 1.0})
    rig.online.put("origin_weather", "LGA", AT - 4 * 3600, {"wind_speed": 1.0, "temp": 1.0})
    rig.ask(flight(1, carrier="ZZ"), flight(2, origin="JFK"), flight(3, origin="LGA"))
    told = rig.plane.render_metrics({})
    for line in (
        'missing_features_total{model="arrival_delay",view="carrier_delays",feature="late_rate",reason="absent_key"} 1',
        'missing_features_total{model="arrival_delay",view="origin_weather",feature="wind_speed",reason="null"} 1',
        'missing_features_total{model="arrival_delay",view="origin_weather",feature="temp",reason="stale"} 1',
        'feature_age_seconds{model="arrival_delay",view="origin_weather"} 1800',
        'feature_age_seconds{model="arrival_delay",view="carrier_delays"} 3600',
    ):
        assert f"mlops_{line}\n" in told


class UnreadableStore(OnlineReader):
    def read(self, view, keys):
        raise OnlineStoreError("the disk is gone")


def test_values_that_could_not_be_read_are_counted_as_such(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    plane = DataPlane(rig.log, UnreadableStore(), rig.plane.transformations)
    plane.adopt(rig.plane.states)
    plane.predict([plane.check(msgspec.json.encode({"model": "arrival_delay", "rows": [flight()]}))])
    assert plane.metrics.value("mlops_missing_features_total", reason="store_error") == 3


STRICT_VIEWS = (
    ViewInput("origin_weather", "origin", 3 * 3600, ("wind_speed", "temp"), (Missing("temp", "fail"),)),
    ViewInput("carrier_delays", "carrier", 24 * 3600, ("late_rate",), (Missing("late_rate", "default", 0.125),)),
)


def test_a_default_is_what_the_model_scores(rig, make_bundle, flight):
    rig.serve(champion=(1, files := make_bundle(1, views=STRICT_VIEWS)))
    (answer,) = rig.ask(flight(carrier="ZZ"))
    assert answer["score"] == package_score(files, [np.nan, 1400.0, 600.0, 9.2, 51.5, 0.125])


def test_without_a_feature_that_must_be_there_nobody_answers_and_nothing_is_logged(rig, make_bundle, flight):
    """Not the fallback either: 503, for the caller did nothing wrong and may try again."""
    rig.serve(champion=(1, make_bundle(1, views=STRICT_VIEWS)))
    with pytest.raises(Refusal) as refused:
        rig.ask(flight(1), flight(2, origin="ORD"))
    assert (refused.value.status, refused.value.field) == (503, "rows[1]")
    for word in ("2013-04-01_UA2_EWR_IAH", "origin_weather__temp", "'ORD'", "absent key"):
        assert word in refused.value.message
    assert rig.log.read() == []
    assert rig.plane.metrics.value("mlops_barred_rows_total", arm="champion") == 1
    assert rig.ask(flight(1))[0]["arm"] == "champion"


def body(*rows):
    return msgspec.json.encode({"model": "arrival_delay", "rows": rows})


def test_other_requests_of_the_batch_are_answered_and_logged(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1, views=STRICT_VIEWS)))
    good, bad = flight(1, request_id="good"), flight(2, request_id="bad", origin="ORD")
    shared = flight(3, request_id="shared")
    requests = [rig.plane.check(body(*rows)) for rows in ((bad, shared), (good,), (shared,), (bad,))]
    outcomes = rig.plane.predict(requests)
    assert [isinstance(outcome, Refusal) for outcome in outcomes] == [True, False, False, True]
    assert sorted(record.request_id for record in rig.log.read()) == ["good", "shared"]


def test_a_canary_that_may_not_answer_leaves_the_row_to_the_champion(rig, make_bundle, flight):
    strict = make_bundle(2, views=STRICT_VIEWS)
    rig.serve(share=10_000, champion=(1, make_bundle(1)), canary=(2, strict), shadow=(3, strict))
    answers = rig.ask(flight(1), flight(2, origin="ORD"))
    assert [answer["arm"] for answer in answers] == ["canary", "champion"]
    said = [[score.arm for score in record.scores] for record in rig.log.read()]
    assert said == [["champion", "canary", "shadow"], ["champion"]]


class ContestedLog(MemoryTrafficLog):
    """Another process writes ``meanwhile`` after this one looked and before it appends."""

    def __init__(self, *meanwhile) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    def append(self, records, features=None):
        super().append(self.meanwhile)
        return super().append(records, features)


def test_an_id_that_another_process_answered_meanwhile_gets_the_answer_of_the_log(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    rig.ask(flight(1, request_id="r1"), flight(2, request_id="r2"))
    first = [msgspec.structs.replace(kept, score=0.123) for kept in rig.log.read()[:1]]
    plane = DataPlane(ContestedLog(*first), rig.online, {}, max_rows=50)
    plane.adopt(rig.plane.states)
    body = msgspec.json.encode({"model": "arrival_delay", "rows": [flight(1, request_id="r1"), flight(3)]})
    theft = msgspec.json.encode({"model": "arrival_delay", "rows": [flight(4, request_id="r1")]})
    answer, refused = plane.predict([plane.check(body), plane.check(theft)])
    assert [row["score"] == 0.123 for row in answer] == [True, False]
    assert (refused.status, refused.field) == (409, "rows[0].request_id")
    (refused,) = plane.predict([plane.check(theft)])
    assert (refused.status, refused.field) == (409, "rows[0].request_id")
    assert plane.metrics.value("mlops_predictions_total") == 1


def test_an_id_that_another_process_used_for_another_decision_meanwhile_is_refused(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    rig.ask(flight(1, request_id="r1"))
    plane = DataPlane(ContestedLog(*rig.log.read()), rig.online, {}, max_rows=50)
    plane.adopt(rig.plane.states)
    (refused,) = plane.predict(
        [plane.check(msgspec.json.encode({"model": "arrival_delay", "rows": [flight(2, request_id="r1")]}))]
    )
    assert (refused.status, refused.field) == (409, "rows[0].request_id")
