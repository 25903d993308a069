"""Alerts reach people: by a real webhook and a real mail server, each once, in order, also after a silence."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from mlops_assets.adapters.alerts import Alerts, LogAlerts, MemoryAlerts, Severity
from mlops_assets.adapters.notifications import FIRST_PAUSE_S, LONGEST_PAUSE_S, Notifier
from mlops_assets_tests.serving.processes import free_port
from mlops_assets_tests.webhook import Webhook


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    hook.start()
    yield hook
    hook.stop()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def told(alerts: Alerts, *keys: str) -> None:
    for key in keys:
        assert alerts.alert(key, Severity.CRITICAL, f"{key} broke", "it is broken", {"run": "http://127.0.0.1:3000/r"})


def test_a_webhook_hears_what_happened_and_that_it_is_over(webhook, tmp_path):
    alerts = LogAlerts(tmp_path / "alerts.jsonl")
    told(alerts, "a")
    assert Notifier(alerts, tmp_path / "reached.json", [webhook.address]).deliver().delivered == 1
    alerts.resolve("a", "it works")
    assert Notifier(alerts, tmp_path / "reached.json", [webhook.address]).deliver().delivered == 1
    broke, over = webhook.heard
    assert (broke["title"], broke["type"]) == ("a broke", "failure")
    assert "it is broken\nrun: http://127.0.0.1:3000/r\nkey: a" in broke["message"]
    assert (over["title"], over["type"]) == ("Over: a broke", "success")
    assert "it works" in over["message"]
    assert "hush" not in (tmp_path / "reached.json").read_text()


def test_a_mail_server_gets_the_mail(tmp_path):
    class Box:
        mails: list[str] = []

        async def handle_DATA(self, server, session, envelope) -> str:
            self.mails.append(envelope.content.decode())
            return "250 OK"

    box = Box()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        alerts = MemoryAlerts()
        told(alerts, "a")
        address = f"mailto://127.0.0.1:{controller.port}?from=mlops@example.org&to=ann@example.org&mode=insecure"
        assert Notifier(alerts, tmp_path / "reached.json", [address]).deliver().delivered == 1
    finally:
        controller.stop()
    (mail,) = box.mails
    assert "Subject: a broke" in mail
    assert "ann@example.org" in mail


def test_who_was_silent_hears_everything_later_once_and_in_order_and_holds_up_nobody(webhook, tmp_path, clock):
    alerts, silent = MemoryAlerts(), Webhook()
    notifier = Notifier(alerts, tmp_path / "reached.json", [silent.address, webhook.address], clock=clock)
    told(alerts, "a", "b")
    done = notifier.deliver()
    assert (done.delivered, done.waiting, done.silent) == (2, 2, ("json",))
    silent.start()
    assert notifier.deliver().delivered == 0, "it is left alone for a while"
    told(alerts, "c")
    clock.now += FIRST_PAUSE_S
    assert notifier.deliver() == type(done)(4, 0, ())
    assert (
        [h["title"] for h in silent.heard] == [h["title"] for h in webhook.heard] == ["a broke", "b broke", "c broke"]
    )
    silent.stop()


def test_an_address_that_refuses_is_tried_ever_more_seldom(webhook, tmp_path, clock):
    alerts, webhook.answer = MemoryAlerts(), 500
    notifier = Notifier(alerts, tmp_path / "reached.json", [webhook.address], clock=clock)
    told(alerts, "a")
    tries: list[float] = []
    real = notifier._send
    notifier._send = lambda address, alert: tries.append(clock.now) or real(address, alert)
    for _ in range(1000):
        notifier.deliver()
        clock.now += 1
    pauses = [later - earlier for earlier, later in zip(tries, tries[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[0] == FIRST_PAUSE_S
    assert max(pauses) <= LONGEST_PAUSE_S
    webhook.answer = 200
    clock.now += LONGEST_PAUSE_S
    assert notifier.deliver().delivered == 1


def test_a_process_that_dies_after_a_delivery_repeats_that_one_alone(webhook, tmp_path):
    alerts = MemoryAlerts()
    told(alerts, "a", "b", "c")

    class Killed(BaseException):
        pass

    notifier = Notifier(alerts, tmp_path / "reached.json", [webhook.address])
    real, keep = notifier._send, notifier._keep

    def dies(reached):
        if len(webhook.heard) == 2:
            raise Killed
        keep(reached)

    notifier._keep = dies
    with pytest.raises(Killed):
        notifier.deliver()
    assert real is notifier._send
    Notifier(alerts, tmp_path / "reached.json", [webhook.address]).deliver()
    assert [heard["title"][0] for heard in webhook.heard] == ["a", "b", "b", "c"]


def test_a_new_address_is_not_flooded_with_what_others_have_heard(webhook, tmp_path):
    alerts, place, other = MemoryAlerts(), tmp_path / "reached.json", Webhook()
    told(alerts, "a", "b")
    Notifier(alerts, place, [webhook.address]).deliver()
    told(alerts, "c")
    other.start()
    assert Notifier(alerts, place, [webhook.address, other.address]).deliver().delivered == 2
    assert [heard["title"] for heard in other.heard] == ["c broke"]
    other.stop()


@pytest.mark.parametrize("address", ["nonsense://", "json://"])
def test_an_address_that_apprise_does_not_know_is_told_by_kind_alone(address: str, tmp_path: Path):
    alerts = MemoryAlerts()
    told(alerts, "a")
    assert Notifier(alerts, tmp_path / "reached.json", [address]).deliver().silent == (address.partition(":")[0],)


def test_without_an_address_nothing_waits(tmp_path):
    alerts = MemoryAlerts()
    told(alerts, "a")
    assert Notifier(alerts, tmp_path / "reached.json", []).deliver().waiting == 0
