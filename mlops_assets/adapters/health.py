"""Is a server there: one question over HTTP.

Here: ``asked``, and whose certificates are trusted. Belongs here: looking at a health page. Does not: what follows from
the answer (``mlflow_server``, ``services``).
"""

import functools
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


def asked(url: str, seconds: float, certificate: Path | None = None) -> "httpx.Response":
    """What the server answers within so many seconds; its own ``certificate`` is trusted. Raises httpx.HTTPError."""
    import httpx

    return httpx.get(url, timeout=seconds, trust_env=False, verify=authorities(certificate))


@functools.cache
def authorities(certificate: Path | None = None) -> ssl.SSLContext:
    """The trusted certificates, and one more.

    Read once: httpx reads them for every question, 20 ms each, also where no TLS is.
    """
    import httpx

    context = httpx.create_ssl_context(trust_env=False)
    if certificate is not None:
        context.load_verify_locations(certificate)
    return context
