"""One model, one thread that computes, and a short queue in front of it."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from fg_inference.errors import InferenceError, QueueFullError, RequestError, ShuttingDownError
from fg_inference.generation import Failed, Finished, Generation, GenerationEvent, GenerationRequest, end_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_LONGEST_RETRY: Final = 60  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCounts:
    """What became of the requests so far."""

    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    refused: int = 0


class Engine:
    """Answers requests one after the other, in a thread of its own; at most `max_waiting` more wait."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str, max_waiting: int = 8
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.created = int(time.time())
        self.eos = end_tokens(model, tokenizer)
        self._waiting: deque[Generation] = deque()
        self._max_waiting = max_waiting
        self._open: set[Generation] = set()
        self._counts = EngineCounts()
        self._seconds = 1.0  # of a request, lately
        self._closed = False
        self._lock = threading.Lock()
        self._something_to_do = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> EngineCounts:
        """What became of the requests so far."""
        return self._counts

    @property
    def context_length(self) -> int | None:
        """How many tokens prompt and answer may have together; None where the model does not say."""
        length = getattr(self.model.config, "max_position_embeddings", None)
        return length if isinstance(length, int) and length > 0 else None

    def fitted(self, request: GenerationRequest) -> GenerationRequest:
        """`request` with `max_tokens` cut to what the context leaves.

        Raises:
            RequestError: the prompt is empty, or leaves no room for a single token.
        """
        if not request.prompt:
            raise RequestError("the prompt has no tokens", param="prompt")
        if self.context_length is None:
            return request
        room = self.context_length - len(request.prompt)
        if room < 1:
            raise RequestError(
                f"the prompt has {len(request.prompt)} tokens, and the model's context of {self.context_length} tokens "
                "must hold the answer too; send a shorter prompt",
                code="context_length_exceeded",
            )
        return replace(request, max_tokens=min(request.max_tokens, room))

    def submit(self, request: GenerationRequest, deliver: Callable[[GenerationEvent], None]) -> Generation:
        """Queue a request; `deliver` is called from the engine's thread, last with `Finished` or `Failed`.

        A request that is cancelled while it waits ends at once, in the thread that cancels it, and leaves its place.

        Raises:
            RequestError: the prompt does not fit the model.
            QueueFullError: too many requests wait.
            ShuttingDownError: the engine is closed.
        """
        generation = Generation(self.fitted(request), deliver, cancelled=self._withdraw)
        with self._lock:
            if self._closed:
                raise ShuttingDownError("the server is shutting down")
            if len(self._open) > self._max_waiting:
                self._count("refused")
                raise self._full()
            self._open.add(generation)
            self._waiting.append(generation)
            self._something_to_do.notify()
        return generation

    def close(self) -> None:
        """Cancel what is open and wait for the thread to end."""
        with self._lock:
            self._closed = True
            unfinished = tuple(self._open)
            self._something_to_do.notify()
        for generation in unfinished:
            generation.cancel()
        self._thread.join()

    def _full(self) -> QueueFullError:
        seconds = min(max(1, math.ceil(self._seconds * len(self._open))), _LONGEST_RETRY)
        return QueueFullError(
            f"{len(self._open)} requests are open already; try again in about {seconds} s", retry_after=seconds
        )

    def _withdraw(self, generation: Generation) -> None:
        """End a cancelled request that nobody works on, unless the engine closes: then its thread ends them all."""
        with self._lock:
            if self._closed or generation not in self._waiting:
                return
            self._waiting.remove(generation)
            self._open.discard(generation)
            self._count("cancelled")
        self._deliver_end(generation, Finished("cancelled", 0))

    def _next(self) -> Generation | None:
        """The next request, when there is one; None when there will be none."""
        with self._lock:
            self._something_to_do.wait_for(lambda: self._waiting or self._closed)
            return self._waiting.popleft() if self._waiting else None

    def _work(self) -> None:
        while (generation := self._next()) is not None:
            start = time.monotonic()
            end = self._answer(generation)
            with self._lock:
                self._open.discard(generation)
                self._count(_outcome(end))
            self._report(generation, end, time.monotonic() - start)
            self._deliver_end(generation, end)

    def _deliver_end(self, generation: Generation, end: Finished | Failed) -> None:
        _caught("the end of a generation could not be delivered", partial(generation.deliver, end))

    def _answer(self, generation: Generation) -> Finished | Failed:
        if self._closed:
            return Failed(ShuttingDownError("the server is shutting down"))
        if generation.cancelled:
            return Finished("cancelled", 0)
        end = _caught("generation failed", lambda: generation.run(self.model, self.tokenizer, self.eos))
        if isinstance(end, Exception):
            return Failed(InferenceError(f"generation failed: {type(end).__name__}"))
        return end

    def _report(self, generation: Generation, end: Finished | Failed, seconds: float) -> None:
        """One line without text of the user: the log is no place for prompts."""
        prompt = len(generation.request.prompt)
        if isinstance(end, Finished):
            rate = end.completion_tokens / max(seconds, 1e-9)
            text = "%s after %d + %d tokens, %.2f s, %.1f tokens/s"
            logger.info(text, end.reason, prompt, end.completion_tokens, seconds, rate)
            if end.reason != "cancelled":
                self._seconds = 0.5 * self._seconds + 0.5 * seconds

    def _count(self, outcome: str) -> None:
        self._counts = replace(self._counts, **{outcome: getattr(self._counts, outcome) + 1})


def _caught(complaint: str, action: Callable[[], Result]) -> Result | Exception:
    """What `action` returns or raises."""
    try:
        return action()
    # Whatever one request breaks (memory, a model's own code, a receiver), the thread lives on for the others.
    except Exception as error:
        logger.exception(complaint)
        return error


def _outcome(end: Finished | Failed) -> str:
    if isinstance(end, Failed):
        return "failed"
    return "cancelled" if end.reason == "cancelled" else "completed"
