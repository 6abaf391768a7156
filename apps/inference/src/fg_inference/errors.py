"""What can go wrong while serving a model or talking to a server.

InferenceError                base; carries the HTTP status of its answer and the exit code of its command
├── RequestError              a request that cannot be answered as it is asked (400, 404)
├── QueueFullError            too many requests wait already (429)
├── ShuttingDownError         the server ends (503)
├── SettingsError             options of the command line that cannot be used
└── ServerError               the server did not answer, or answered with an error
"""

from __future__ import annotations

from typing import ClassVar


class InferenceError(ValueError):
    """Base of all errors of this distribution; `str(error)` says what is wrong and what to do."""

    exit_code: ClassVar[int] = 2
    status: int = 500
    code: str | None = None
    param: str | None = None


class RequestError(InferenceError):
    """A request that cannot be answered as it is asked; `param` names the field."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


class QueueFullError(InferenceError):
    """Too many requests wait already; `retry_after` is the estimated wait in seconds."""

    status = 429
    code = "queue_full"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ShuttingDownError(InferenceError):
    """The server ends before the request is answered."""

    status = 503
    code = "shutting_down"


class SettingsError(InferenceError):
    """Options of the command line that cannot be used."""


class ServerError(InferenceError):
    """The server did not answer, or answered with an error."""
