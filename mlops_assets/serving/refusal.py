"""The one way in which the server says no.

Here: ``Refusal``, and ``NotLoaded``. Belongs here: its shape. Does not: deciding when to refuse.
"""

from typing import Any

import msgspec


class Refusal(Exception):
    """A request that is not answered with a prediction: a status, the field it is about, and what to do about it."""

    def __init__(self, status: int, field: str | None, message: str) -> None:
        """``status`` is HTTP's; ``message`` names the remedy and nothing of the server's inside."""
        super().__init__(message)
        self.status = status
        self.field = field
        self.message = message

    def encoded(self) -> bytes:
        """What the caller gets, as bytes."""
        return msgspec.json.encode(self.body())

    def body(self) -> dict[str, Any]:
        """What the caller gets, as JSON."""
        return {"error": {"field": self.field, "message": self.message}}


class NotLoaded(Refusal):
    """A model is known and not in memory: what was asked can be answered once it is."""

    def __init__(self, model: str) -> None:
        """``model`` is its name."""
        super().__init__(503, "model", f"{model} is not loaded: try again in a moment")
        self.model = model
