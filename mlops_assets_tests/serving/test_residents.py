"""A worker whose memory does not hold all models: the ones asked for last are there, and no answer is lost for it."""

import pytest

from mlops_assets.ml.bundles import MODEL_FILE
from mlops_assets.serving.refusal import NotLoaded, Refusal
from mlops_assets_tests.serving.many import Crowd, names

A, B, C, D, E = names(5)


@pytest.fixture
def crowd(rig, make_bundle):
    return Crowd(rig, make_bundle, count=5, room=3.5)


def test_before_anybody_asked_as_many_are_loaded_as_fit(crowd):
    assert crowd.loaded == []
    assert crowd.plane.ready() == (True, []), "it answers for every model, and would load what is asked for"
    crowd.work()
    assert crowd.loaded == [A, B, C]


def test_a_worker_begins_with_the_models_that_it_is_asked_for_first(rig, make_bundle):
    crowd = Crowd(rig, make_bundle, count=5, room=2.5)
    crowd.room.favourite = lambda model: model in (C, E)
    crowd.follower.apply(crowd.state)
    crowd.work()
    assert crowd.loaded == [C, E]


def test_a_model_that_is_not_loaded_is_told_as_such_and_answers_once_it_is(crowd, flight):
    crowd.work()
    with pytest.raises(NotLoaded) as error:
        crowd.check(D, flight())
    assert (error.value.status, error.value.field) == (503, "model")
    status = crowd.plane.status(D)
    assert (status.ready, status.loaded, status.arm("champion").loaded_at) == (True, False, "")
    assert status.arm("champion").digest == crowd.state.model(D).arms["champion"].digest
    crowd.want(D)
    assert crowd.ask(D, flight())["digest"] == status.arm("champion").digest
    assert crowd.plane.status(D).loaded


def test_the_model_that_was_not_asked_for_the_longest_time_makes_room(crowd, flight):
    crowd.work()
    for model in (B, C, A):
        crowd.ask(model, flight())
    crowd.want(D)
    assert crowd.loaded == [A, C, D]
    crowd.ask(D, flight(2))
    crowd.ask(C, flight(3))
    crowd.want(E)
    assert crowd.loaded == [C, D, E]
    assert crowd.plane.metrics.value("mlops_model_evictions_total") == 2
    assert crowd.plane.metrics.value("mlops_model_loads_total") == 5


def test_a_request_in_flight_keeps_the_model_that_it_was_checked_against(crowd, flight):
    crowd.work()
    request = crowd.check(A, flight(request_id="r1"))
    for model in (B, C, D, E, B, C, D):
        crowd.want(model)
        crowd.ask(model, flight())
    assert A not in crowd.loaded
    ((answer,),) = crowd.plane.predict([request])
    assert answer["digest"] == crowd.state.model(A).arms["champion"].digest


def test_a_model_larger_than_the_budget_is_served_alone(rig, make_bundle, flight):
    crowd = Crowd(rig, make_bundle, count=3, room=0.5)
    crowd.work()
    assert crowd.loaded == []
    for model in (A, B):
        crowd.want(model)
        assert crowd.loaded == [model]
        assert crowd.ask(model, flight())["version"] == 1


def test_a_version_changes_while_its_model_is_not_loaded(crowd, make_bundle, flight):
    crowd.work()
    crowd.change(E, make_bundle(2, model=E))
    crowd.work()
    assert E not in crowd.loaded, "nobody asked for it"
    assert crowd.plane.status(E).arm("champion").version == 2
    crowd.want(E)
    assert crowd.ask(E, flight())["version"] == 2
    assert crowd.plane.metrics.value("mlops_swaps_total", model=E) == 1


def test_a_version_changes_while_its_model_is_loaded_and_the_old_one_answers_until_then(crowd, make_bundle, flight):
    crowd.work()
    before = crowd.plane.states[B]
    crowd.change(A, make_bundle(2, model=A))
    assert crowd.ask(A, flight(1))["version"] == 1
    crowd.work()
    assert crowd.ask(A, flight(2))["version"] == 2
    assert crowd.plane.states[B] is before, "what did not change is not touched"
    assert crowd.plane.metrics.value("mlops_swaps_total", model=A) == 1


def test_a_version_that_does_not_load_is_refused_with_why_and_tried_again(crowd, make_bundle, flight):
    crowd.work()
    crowd.change(D, make_bundle(2, model=D))
    place = crowd.bundles / crowd.state.model(D).arms["champion"].digest / MODEL_FILE
    whole = place.read_bytes()
    place.write_bytes(b"damaged")
    crowd.want(D)
    with pytest.raises(Refusal, match="no version of .* is loaded"):
        crowd.check(D, flight())
    ready, problems = crowd.plane.ready()
    assert not ready
    assert "have digest" in problems[0]
    place.write_bytes(whole)
    crowd.follower.apply(crowd.state)
    crowd.work()
    assert crowd.ask(D, flight())["version"] == 2
    assert crowd.plane.ready() == (True, [])


def test_a_model_that_is_served_no_more_gives_its_memory_back(crowd):
    crowd.work()
    taken = crowd.room.taken_bytes
    crowd.follower.apply(type(crowd.state)(models=crowd.state.models[1:]))
    crowd.work()
    assert A not in crowd.plane.states
    assert crowd.loaded == [B, C, D], "the next one takes its room"
    assert crowd.room.taken_bytes == taken


def test_what_is_told_of_memory_is_what_is_loaded(crowd):
    crowd.work()
    text = crowd.plane.render_metrics({})
    assert "mlops_models 5\n" in text
    assert "mlops_models_loaded 3\n" in text
    assert f"mlops_model_memory_bytes {crowd.room.taken_bytes}\n" in text
    assert f'mlops_arm_info{{model="{A}"' in text
    assert D not in text, "no series of what nobody asked for"


def test_while_some_are_prepared_an_unknown_model_may_still_come(crowd, flight):
    crowd.follower.apply(type(crowd.state)(models=crowd.state.models, preparing=7))
    assert crowd.plane.ready() == (False, ["7 models are still being prepared"])
    with pytest.raises(Refusal) as error:
        crowd.check("arrival_delay.9999", flight())
    assert error.value.status == 503
    crowd.follower.apply(crowd.state)
    with pytest.raises(Refusal) as error:
        crowd.check("arrival_delay.9999", flight())
    assert error.value.status == 404
