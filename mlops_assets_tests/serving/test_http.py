"""HTTP itself, on a real socket: what no client library lets a test do."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.serving.connection import MAX_HEAD_BYTES, Limits
from mlops_assets.serving.http import HttpServer
from mlops_assets.serving.messages import Asked, Reply
from mlops_assets_tests.serving.web import listening

POST = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b"


class Echo:
    """Answers with what came; /later after a while, /big with much, /no refuses before the body."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def refusal(self, asked):
        return Reply(403, b"text/plain", b"no") if asked.path == "/no" else None

    def broken(self, asked, status, field, message):
        return Reply(status, b"text/plain", f"{field}: {message}".encode())

    def answer(self, asked, give):
        self.asked.append(asked)
        body = b"x" * 3_000_000 if asked.path == "/big" else b"%b[%b]" % (asked.path.encode(), asked.body)
        delay = 0.15 if asked.path == "/later" else 0.0
        reply = Reply(200, b"text/plain", body)
        give(reply) if not delay else asyncio.get_running_loop().call_later(delay, give, reply)


@contextlib.contextmanager
def echo(**limits):
    application = Echo()
    with listening(application, Limits(**{"max_body_bytes": 1000} | limits)) as address:
        application.address = address
        yield application


@contextlib.contextmanager
def caller(application):
    with socket.create_connection(application.address, timeout=5) as held:
        yield held


def heard(held: socket.socket) -> bytes:
    """Everything until the server closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := held.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def say(application, *parts: bytes, end: bool = True) -> bytes:
    with caller(application) as held:
        for part in parts:
            held.sendall(part)
        if end:
            held.shutdown(socket.SHUT_WR)
        return heard(held)


def bodies(said: bytes) -> list[bytes]:
    found = []
    while said:
        head, _, rest = said.partition(b"\r\n\r\n")
        length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"content-length")).split()[1])
        found.append(rest[:length])
        said = rest[length:]
    return found


def test_requests_of_one_connection_are_answered_in_their_order():
    with echo() as application:
        later = b"POST /later HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1"
        said = say(application, later + POST % (1, b"2") + later + POST % (1, b"3"))
        assert bodies(said) == [b"/later[1]", b"/echo[2]", b"/later[1]", b"/echo[3]"]


def test_many_requests_ahead_of_their_answers_are_read_no_further_than_allowed():
    with echo() as application:
        later = b"POST /later HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
        said = say(application, later, *[POST % (1, b"x") * 100] * 20)
        assert bodies(said) == [b"/later[]", *[b"/echo[x]"] * 2000]


@given(cuts=st.lists(st.integers(0, 200), max_size=6), chunked=st.booleans())
@settings(max_examples=30, deadline=None)
def test_it_does_not_matter_where_the_network_cuts(cuts, chunked, shared_echo):
    if chunked:
        one = b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    else:
        one = POST % (5, b"abcde")
    whole = one + b"GET /second HTTP/1.1\r\nhost: a\r\n\r\n"
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    parts = [whole[a:b] for a, b in zip(edges, edges[1:], strict=False) if b > a]
    assert bodies(say(shared_echo, *parts)) == [b"/echo[abcde]", b"/second[]"]


@pytest.fixture(scope="module")
def shared_echo():
    with echo() as application:
        yield application


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (b"what is this\r\n\r\n", 400, b"not HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, b"not HTTP"),
        (b"POST /echo HTTP/1.1\r\ncontent-length: ten\r\n\r\n", 400, b"not HTTP"),
        (b"POST /echo HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc", 400, b"not HTTP"),
        (b"POST /echo HTTP/1.1\r\ncontent-length: 1001\r\n\r\n", 413, b"larger than 1000"),
        (b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3ea\r\n" + b"x" * 1002, 413, b"larger than 1000"),
        (b"GET /" + b"x" * MAX_HEAD_BYTES, 431, b"longer than"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEAD_BYTES // 6 + 1), 431, b"longer than"),
        (b"POST /no HTTP/1.1\r\ncontent-length: 9\r\n\r\n", 403, b"no"),
    ],
)
def test_what_cannot_be_read_is_refused_and_the_connection_ends(shared_echo, sent, status, told):
    said = say(shared_echo, sent, end=False)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close\r\n" in said
    assert told in bodies(said)[0]
    assert len(bodies(said)) == 1


def test_a_refusal_without_a_body_keeps_the_connection(shared_echo):
    said = say(shared_echo, b"GET /no HTTP/1.1\r\nhost: a\r\n\r\n" + POST % (1, b"x"))
    assert bodies(said) == [b"no", b"/echo[x]"]


def test_a_refused_caller_that_goes_on_sending_still_hears_why(shared_echo):
    with caller(shared_echo) as held:
        held.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n\r\n")
        for _ in range(50):
            held.sendall(b"x" * 1000)
            time.sleep(0.002)
        assert b" 413 " in heard(held)


def test_what_is_pipelined_after_a_refused_body_is_not_answered(shared_echo):
    said = say(shared_echo, b"POST /no HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc" + POST % (1, b"x"))
    assert bodies(said) == [b"no"]


def test_head_is_the_head_alone(shared_echo):
    said = say(shared_echo, b"HEAD /echo HTTP/1.1\r\nhost: a\r\n\r\n")
    assert b"content-length: 7\r\n" in said
    assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("line", "stays"), [(b"HTTP/1.0\r\n", False), (b"HTTP/1.1\r\nconnection: close\r\n", False)])
def test_a_caller_that_wants_no_connection_kept_gets_none(shared_echo, line, stays):
    said = say(shared_echo, b"GET /echo " + line + b"\r\n", end=False)
    assert bodies(said) == [b"/echo[]"]
    assert (b"connection: close" in said) is not stays


def test_a_body_that_waits_to_be_asked_for_is_asked_for(shared_echo):
    with caller(shared_echo) as held:
        held.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert held.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        held.sendall(b"ab")
        assert held.recv(1000).endswith(b"/echo[ab]")


def test_a_refused_body_is_not_asked_for(shared_echo):
    sent = b"POST /no HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    assert say(shared_echo, sent, end=False).startswith(b"HTTP/1.1 403 ")


def test_another_protocol_is_not_spoken(shared_echo):
    sent = b"GET /echo HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    assert bodies(say(shared_echo, sent, end=False)) == [b"/echo[]"]


def test_a_request_that_does_not_come_whole_in_time_is_408():
    with echo(body_timeout_s=0.1) as application:
        for begun in (b"POST /echo HTTP/1.1\r\ncontent-length: 2\r\n\r\na", b"GET /echo HT"):
            began = time.monotonic()
            said = say(application, begun, end=False)
            assert said.startswith(b"HTTP/1.1 408 ")
            assert time.monotonic() - began < 2


def test_a_connection_that_says_nothing_is_closed():
    with echo(idle_timeout_s=0.1) as application, caller(application) as held:
        assert heard(held) == b""
    with echo(idle_timeout_s=0.3) as application, caller(application) as held:
        held.sendall(POST % (1, b"x"))
        assert bodies(heard(held)) == [b"/echo[x]"]


def test_an_answer_that_takes_longer_than_any_limit_still_comes():
    with echo(idle_timeout_s=0.05, body_timeout_s=0.05) as application:
        assert bodies(say(application, b"GET /later HTTP/1.1\r\nhost: a\r\n\r\n", end=False)) == [b"/later[]"]


def test_one_caller_too_many_is_told_so():
    with echo(max_connections=2) as application, caller(application) as one, caller(application) as two:
        for held in (one, two):
            held.sendall(POST % (1, b"x"))
            assert held.recv(1000).endswith(b"/echo[x]")
        said = say(application, end=False)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in said
        one.close()
        time.sleep(0.1)
        assert bodies(say(application, POST % (1, b"y"))) == [b"/echo[y]"]


def test_a_caller_that_does_not_read_does_not_fill_the_memory():
    with echo() as application, caller(application) as held:
        held.sendall(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n" * 200)
        time.sleep(0.5)
        assert 1 <= len(application.asked) < 100
        got = 0
        while got < 200 * 3_000_000:
            got += len(held.recv(1 << 20))
        assert len(application.asked) == 200


def test_a_caller_that_hangs_up_harms_nobody():
    with echo() as application:
        for _ in range(20):
            with caller(application) as held:
                held.sendall(b"GET /later HTTP/1.1\r\nhost: a\r\n\r\n" + POST[:30])
        time.sleep(0.3)
        assert bodies(say(application, POST % (1, b"x"))) == [b"/echo[x]"]


def test_stopping_answers_what_was_asked_and_takes_nothing_more():
    application, said = Echo(), []
    held = socket.create_server(("127.0.0.1", 0))

    async def life() -> None:
        server = HttpServer(application)
        await server.start(held)
        application.address = held.getsockname()
        later = b"GET /later HTTP/1.1\r\nhost: a\r\n\r\n"
        asking = asyncio.to_thread(lambda: said.append(say(application, later, end=False)))
        idle = asyncio.to_thread(lambda: said.append(say(application, end=False)))
        tasks = [asyncio.create_task(asking), asyncio.create_task(idle)]
        await asyncio.sleep(0.1)
        await server.stop(5)
        await asyncio.gather(*tasks)
        assert not server.connections
        with pytest.raises(OSError):
            socket.create_connection(application.address, timeout=1)

    thread = threading.Thread(target=asyncio.run, args=(life(),))
    thread.start()
    thread.join(10)
    assert sorted(map(bodies, said)) == [[], [b"/later[]"]]
    assert any(b"connection: close" in part for part in said)


def test_a_caller_in_the_middle_of_an_answer_is_cut_off_when_the_grace_is_over():
    application = Echo()
    application.answer = lambda asked, give: None

    async def life() -> float:
        server, held = HttpServer(application), socket.create_server(("127.0.0.1", 0))
        await server.start(held)
        application.address = held.getsockname()
        with caller(application) as waiting:
            waiting.sendall(POST % (1, b"x"))
            await asyncio.sleep(0.05)
            began = time.monotonic()
            await server.stop(0.2)
            return time.monotonic() - began

    assert 0.2 <= asyncio.run(life()) < 1
