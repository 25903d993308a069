"""A real web server that is told of alerts.

Belongs here: hearing them. Does not: who sends them.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from mlops_assets_tests.serving.processes import free_port


class Webhook:
    """Somebody who listens."""

    def __init__(self) -> None:
        self.heard: list[dict[str, str]] = []
        self.answer = 200
        self.port = free_port()
        self._server: HTTPServer | None = None

    @property
    def address(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook?secret=hush"

    def start(self) -> None:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if hook.answer == 200:
                    hook.heard.append(body)
                self.send_response(hook.answer)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
