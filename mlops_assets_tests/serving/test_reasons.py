"""Reasons on request: about the logged answer, adding up to its margin, in the caller's own words."""

import json
import math

import pytest

from mlops_assets.adapters.endpoint import EndpointRefused, HttpEndpoint
from mlops_assets.serving.reasons import LEADING, MOST_ROWS, reasons_of
from mlops_assets_tests.serving.conftest import MODEL
from mlops_assets_tests.serving.processes import Server
from mlops_assets_tests.serving.web import Web


def explained(rig, *rows):
    body = json.dumps({"model": MODEL, "rows": list(rows)}).encode()
    (answers,) = rig.plane.predict([rig.plane.check(body, explain=True)])
    return answers


def total(reasons) -> float:
    return reasons["expected_value"] + sum(part["contribution"] for part in reasons["top"]) + reasons["rest"]


def test_the_contributions_add_up_to_the_margin_of_the_score(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    for answer in explained(rig, flight(1), flight(2, carrier="B6", distance=200), flight(3, carrier="ZZ")):
        reasons = answer["reasons"]
        assert total(reasons) == pytest.approx(reasons["margin"], abs=1e-12)
        assert 1 / (1 + math.exp(-reasons["margin"])) == pytest.approx(answer["score"], abs=1e-12)
        sizes = [abs(part["contribution"]) for part in reasons["top"]]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) == LEADING


def test_values_are_told_as_the_caller_knows_them(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    rig.ask(flight(1, carrier="B6"), flight(2, carrier="ZZ"), flight(3, distance=200, origin="XXX"))
    held = rig.plane.states[MODEL].arms["champion"].bundle
    told = [
        {part["feature"]: part["value"] for part in reasons["top"]}
        for reasons in reasons_of(rig.log.read(), {held.digest: held}, leading=6)
    ]
    assert [parts["carrier"] for parts in told] == ["B6", None, "UA"]
    assert [parts["distance"] for parts in told] == [1400.0, 1400.0, 200.0]
    assert [parts["origin_weather__temp"] for parts in told] == [51.5, 51.5, None]


def test_the_answering_arm_is_explained_and_the_fallback_is_not(rig, make_bundle, flight):
    rig.serve(share=10_000, champion=(1, make_bundle(1)), canary=(2, make_bundle(2)))
    (answer,) = explained(rig, flight(1))
    assert answer["arm"] == "canary"
    assert 1 / (1 + math.exp(-answer["reasons"]["margin"])) == pytest.approx(answer["score"], abs=1e-12)
    rig.serve()
    (answer,) = explained(rig, flight(2))
    assert (answer["arm"], answer["reasons"]) == ("fallback", None)


def test_an_answer_of_a_version_that_is_gone_is_repeated_without_reasons(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    (before,) = explained(rig, flight(1, request_id="once"))
    rig.serve(champion=(2, make_bundle(2)))
    (after,) = explained(rig, flight(1, request_id="once"))
    assert (after["score"], after["digest"]) == (before["score"], before["digest"])
    assert after["reasons"] is None


def test_nobody_who_does_not_ask_is_given_reasons(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    assert "reasons" not in rig.ask(flight(1))[0]


def test_the_web_takes_explain_and_no_other_parameter(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    web, body = Web(rig), {"model": MODEL, "rows": [flight(1)]}
    assert web("POST", "/predict?explain=true", body).json()["predictions"][0]["reasons"]["top"]
    assert "reasons" not in web("POST", "/predict?explain=false", body).json()["predictions"][0]
    refused = web("POST", "/predict?why=yes", body)
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "query")
    many = {"model": MODEL, "rows": [flight(n) for n in range(rig.plane.max_rows)]}
    assert web("POST", "/predict?explain=true", many).status_code == 200
    web.batcher.stop()


def test_too_many_rows_to_explain_are_refused_by_name(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    rig.plane.max_rows = 2 * MOST_ROWS
    from mlops_assets.serving.refusal import Refusal

    with pytest.raises(Refusal, match="rows to explain"):
        explained(rig, *(flight(n) for n in range(MOST_ROWS + 1)))


@pytest.mark.integration
def test_the_real_server_gives_reasons_over_http(tmp_path, make_bundle, put_bundle, flight):
    server = Server(tmp_path)
    try:
        server.desire(champion=(1, put_bundle(server.config.bundles, make_bundle(1))))
        server.start_worker()
        endpoint = HttpEndpoint(server.endpoint.url)
        (answer,) = endpoint.predict(MODEL, [flight(1)], explain=True)
        assert total(answer["reasons"]) == pytest.approx(answer["reasons"]["margin"], abs=1e-12)
        with pytest.raises(EndpointRefused):
            endpoint.predict(MODEL, [flight(n) for n in range(MOST_ROWS + 1)], explain=True)
    finally:
        server.stop()
