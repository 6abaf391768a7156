"""The answers of both kinds of completion, whole and in pieces, as OpenAI's clients read them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fg_inference.errors import InferenceError


def error_body(error: InferenceError) -> dict[str, Any]:
    """An error as the body of its answer."""
    kind = "invalid_request_error" if error.status < 500 and error.status != 429 else "server_error"
    if error.status == 429:
        kind = "rate_limit_error"
    return {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionAnswer:
    """Writes the answer to one request to `/v1/completions`."""

    kind: ClassVar[str] = "text_completion"
    piece_kind: ClassVar[str] = "text_completion"
    prefix: ClassVar[str] = "cmpl"

    model: str
    prompt_tokens: int
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, reason: str, completion_tokens: int) -> dict[str, Any]:
        """The answer of a request without streaming."""
        return self._body(self.kind, [self._whole_choice(text, reason)]) | {"usage": self._usage(completion_tokens)}

    def first(self) -> dict[str, Any] | None:
        """What a stream starts with, if anything."""
        return None

    def piece(self, text: str, reason: str | None = None) -> dict[str, Any]:
        """A piece of a stream; the last one has a reason and no text."""
        return self._body(self.piece_kind, [self._piece_choice(text, reason)])

    def usage(self, completion_tokens: int) -> dict[str, Any]:
        """The last piece of a stream whose request asks for counts."""
        return self._body(self.piece_kind, []) | {"usage": self._usage(completion_tokens)}

    def _body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        head = {"id": f"{self.prefix}-{self.id}", "object": kind, "created": self.created, "model": self.model}
        return head | {"choices": choices}

    def _usage(self, completion_tokens: int) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        }

    def _whole_choice(self, text: str, reason: str) -> dict[str, Any]:
        return self._piece_choice(text, reason)

    def _piece_choice(self, text: str, reason: str | None) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer(CompletionAnswer):
    """Writes the answer to one request to `/v1/chat/completions`."""

    kind: ClassVar[str] = "chat.completion"
    piece_kind: ClassVar[str] = "chat.completion.chunk"
    prefix: ClassVar[str] = "chatcmpl"

    def first(self) -> dict[str, Any] | None:
        """The role, before any text."""
        delta = {"role": "assistant", "content": ""}
        return self._body(self.piece_kind, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def _whole_choice(self, text: str, reason: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}

    def _piece_choice(self, text: str, reason: str | None) -> dict[str, Any]:
        delta: dict[str, str] = {} if reason else {"content": text}
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
