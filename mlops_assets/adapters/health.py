"""Is a server there: one question over HTTP.

Here: ``asked``. Belongs here: looking at a health page. Does not: what follows from the answer (``mlflow_server``,
``services``).
"""

import functools
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


def asked(url: str, seconds: float) -> "httpx.Response":
    """What the server answers within so many seconds. Raises httpx.HTTPError."""
    import httpx

    return httpx.get(url, timeout=seconds, trust_env=False, verify=_authorities())


@functools.cache
def _authorities() -> ssl.SSLContext:
    """The trusted certificates, read once: httpx reads them for every question, 20 ms each, also where no TLS is."""
    import httpx

    return httpx.create_ssl_context(trust_env=False)
