"""From the engine's thread to the event loop, and on to a client that may go away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from fg_inference.answers import CompletionAnswer, error_body
from fg_inference.engine import Engine
from fg_inference.errors import InferenceError
from fg_inference.generation import Failed, Finished, Generation, GenerationEvent, GenerationRequest, TextPiece

_CLIENT_CLOSED_REQUEST = 499  # nginx's number; nobody reads it


class Delivery:
    """The events of one generation, awaited in the event loop that submitted it."""

    def __init__(self, engine: Engine, request: GenerationRequest) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[GenerationEvent] = asyncio.Queue()
        self.generation: Generation = engine.submit(request, self._put)

    def _put(self, event: GenerationEvent) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everybody who waited
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def __aiter__(self) -> AsyncIterator[TextPiece | Finished]:
        """The pieces, and last the end.

        Raises:
            InferenceError: generation failed.
        """
        while True:
            event = await self._events.get()
            if isinstance(event, Failed):
                raise event.error
            yield event
            if isinstance(event, Finished):
                return


async def whole_answer(delivery: Delivery, answer: CompletionAnswer, request: Request) -> Response:
    """The answer in one body; generation is cancelled when the client goes away before."""
    text = asyncio.ensure_future(_collect(delivery))
    gone = asyncio.ensure_future(_until_disconnect(request))
    try:
        await asyncio.wait({text, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not text.done():
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        content, end = text.result()
        return JSONResponse(answer.whole(content, end.reason, end.completion_tokens))
    finally:
        delivery.generation.cancel()
        text.cancel()
        gone.cancel()


class EventStream(StreamingResponse):
    """Server-sent events of one generation, which is cancelled when the response ends, however it ends."""

    def __init__(self, delivery: Delivery, answer: CompletionAnswer, *, include_usage: bool) -> None:
        events = _events(delivery, answer, include_usage=include_usage)
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._generation = delivery.generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream. The generator alone could not clean up: it may never have been started."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._generation.cancel()


async def _events(delivery: Delivery, answer: CompletionAnswer, *, include_usage: bool) -> AsyncIterator[str]:
    if (first := answer.first()) is not None:
        yield _event(first)
    try:
        async for event in delivery:
            if isinstance(event, TextPiece):
                yield _event(answer.piece(event.text))
                continue
            yield _event(answer.piece("", event.reason))
            if include_usage:
                yield _event(answer.usage(event.completion_tokens))
    except InferenceError as error:
        # The status line is long gone; OpenAI's clients raise on an event with an error.
        yield _event(error_body(error))
    yield "data: [DONE]\n\n"


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


async def _collect(delivery: Delivery) -> tuple[str, Finished]:
    pieces: list[str] = []
    async for event in delivery:
        if isinstance(event, Finished):
            return "".join(pieces), event
        pieces.append(event.text)
    raise AssertionError("a generation ends with Finished or an error")


async def _until_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
