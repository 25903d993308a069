"""Who may ask what: tokens, and the page in somebody's browser that may not.

Here: ``Guard``. Belongs here: refusing a request for who sends it, before its body is read. Does not: limits of bodies
(``serving.app``), where tokens come from (``adapters.settings``).

With tokens, everything but the health checks needs one: the predict token, or the admin token, which may all. Without,
the server listens on loopback alone (``serving.supervisor`` sees to that) and asks for none; what could still reach it
there is a web page in the browser of somebody on this machine, so names that are not loopback's, and requests that a
browser marks as another site's, are refused.
"""

import functools
import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from enum import IntEnum

from mlops_assets.serving.refusal import Refusal

BEARER = b"bearer "


class Needs(IntEnum):
    """What a path asks of its callers."""

    NOTHING = 0
    PREDICT = 1
    ADMIN = 2


class Guard:
    """Lets requests in."""

    def __init__(
        self, predict_digest: str | None = None, admin_digest: str | None = None, *, local: bool = True
    ) -> None:
        """``digest_of_token`` of each token, or None without one. ``local``: without tokens, for loopback alone."""
        told = {Needs.PREDICT: predict_digest, Needs.ADMIN: admin_digest}
        self._digests = {needs: digest for needs, digest in told.items() if digest is not None}
        self._local = local

    def require(self, needs: Needs, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Raises Refusal: 401 without a token that is known, 403 for one that may not, 421 for a strange host."""
        if not self._digests:
            if self._local:
                _require_this_machine(headers)
            return
        if needs is Needs.NOTHING:
            return
        held = self._held(headers)
        if held is None:
            raise Refusal(
                401, "authorization", "send the header Authorization: Bearer <token>, with a token of this server"
            )
        if held < needs:
            raise Refusal(403, "authorization", "this token may predict: what you ask for needs the admin token")

    def _held(self, headers: Sequence[tuple[bytes, bytes]]) -> Needs | None:
        sent = next((value for name, value in headers if name == b"authorization"), b"")
        if sent[: len(BEARER)].lower() != BEARER:
            return None
        digest = digest_of_token(sent[len(BEARER) :].strip())
        # Both are compared, each in constant time: how long it takes tells nothing.
        held = [needs for needs, known in self._digests.items() if hmac.compare_digest(known, digest)]
        return max(held, default=None)


def digest_of_token(token: bytes) -> str:
    """What is kept of a token. Tokens are long and random, so a plain hash cannot be turned back."""
    return hashlib.sha256(token).hexdigest()


def is_loopback(host: str) -> bool:
    """True for a name or an address that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _require_this_machine(headers: Sequence[tuple[bytes, bytes]]) -> None:
    told = dict(headers)
    if not _names_loopback(told.get(b"host", b"localhost")):
        raise Refusal(421, "host", "without tokens this server answers to loopback names alone: 127.0.0.1 or localhost")
    # Old browsers mark no request, but all of them say where a page that sends one comes from.
    origin = told.get(b"origin", b"http://localhost").partition(b"://")[2]
    foreign = told.get(b"sec-fetch-site", b"none") in (b"cross-site", b"same-site") or not _names_loopback(origin)
    if foreign:
        raise Refusal(403, "sec-fetch-site", "pages of other sites may not ask this server")


@functools.lru_cache(maxsize=256)
def _names_loopback(sent: bytes) -> bool:
    host = sent.decode("latin-1")
    return is_loopback(host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0])
