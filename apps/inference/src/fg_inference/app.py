"""The HTTP interface: OpenAI's completions and chat completions on one engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fg_inference.answers import ChatAnswer, CompletionAnswer, error_body
from fg_inference.chat import ChatFormat, encode
from fg_inference.delivery import Delivery, EventStream, whole_answer
from fg_inference.engine import Engine
from fg_inference.errors import InferenceError, QueueFullError, RequestError
from fg_inference.generation import GenerationRequest
from fg_inference.schemas import ChatRequest, CompletionRequest, TextRequest
from fg_tls import PUBLIC, AccessTable, token

ANY_MODEL: Final = "inference-server"  # the name with which a client asks for whatever model is served

ACCESS: Final = AccessTable(
    {
        ("GET", "/health"): PUBLIC,
        ("GET", "/v1/models"): token("generate"),
        ("GET", "/v1/models/{model}"): token("generate"),
        ("POST", "/v1/completions"): token("generate"),
        ("POST", "/v1/chat/completions"): token("generate"),
    }
)

_CHAT_TEMPERATURE: Final = 0.7
_COMPLETION_TEMPERATURE: Final = 1.0


def create_app(engine: Engine, chat: ChatFormat, *, stops: tuple[str, ...] = ()) -> FastAPI:
    """The application for `fg_tls.serve`, with the access table `ACCESS`; it closes `engine` when it ends.

    `stops` hold for every request, besides its own.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(engine.close)

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(InferenceError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_unreadable)
    app.add_exception_handler(Exception, _answer_bug)
    _add_model_routes(app, engine)

    async def complete(body: CompletionRequest, request: Request) -> Response:
        # In a thread: a prompt of megabytes takes seconds, and other streams go on.
        if isinstance(body.prompt, str):
            prompt = await asyncio.to_thread(encode, engine.tokenizer, body.prompt)
        else:
            prompt = _known(engine, body.prompt)
        asked = _request(body, prompt, stops, _COMPLETION_TEMPERATURE)
        return await _respond(engine, body, asked, CompletionAnswer, request)

    async def chat_complete(body: ChatRequest, request: Request) -> Response:
        prompt = await asyncio.to_thread(chat.prompt, [message.plain() for message in body.messages])
        asked = _request(body, prompt, (*stops, *chat.stops), _CHAT_TEMPERATURE)
        return await _respond(engine, body, asked, ChatAnswer, request)

    app.add_api_route("/v1/completions", complete, methods=["POST"], response_model=None)
    app.add_api_route("/v1/chat/completions", chat_complete, methods=["POST"], response_model=None)
    return app


def _add_model_routes(app: FastAPI, engine: Engine) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_description(engine)]}

    @app.get("/v1/models/{model}")
    async def model_description(model: str) -> dict[str, Any]:
        _check_model(engine, model)
        return _description(engine)


def _description(engine: Engine) -> dict[str, Any]:
    return {"id": engine.name, "object": "model", "created": engine.created, "owned_by": "forgather"}


def _check_model(engine: Engine, name: str) -> None:
    if name not in (engine.name, ANY_MODEL):
        raise RequestError(
            f"there is no model {name!r} here; this server has {engine.name!r}",
            param="model",
            code="model_not_found",
            status=404,
        )


def _known(engine: Engine, ids: list[int]) -> tuple[int, ...]:
    embeddings: Any = engine.model.get_input_embeddings()
    size = embeddings.weight.shape[0]
    foreign = [each for each in ids if not 0 <= each < size]
    if foreign:
        raise RequestError(f"token id {foreign[0]} is not between 0 and {size - 1}", param="prompt")
    return tuple(ids)


def _request(
    body: TextRequest, prompt: tuple[int, ...], stops: tuple[str, ...], temperature: float
) -> GenerationRequest:
    return GenerationRequest(
        prompt=prompt,
        max_tokens=body.limit,
        sampling=body.sampling(temperature),
        stops=(*body.stop, *stops),
        ignore_eos=body.ignore_eos,
    )


async def _respond(
    engine: Engine, body: TextRequest, asked: GenerationRequest, kind: type[CompletionAnswer], request: Request
) -> Response:
    _check_model(engine, body.model)
    delivery = Delivery(engine, asked)
    answer = kind(model=engine.name, prompt_tokens=len(asked.prompt))
    if body.stream:
        return EventStream(delivery, answer, include_usage=body.include_usage)
    return await whole_answer(delivery, answer, request)


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InferenceError)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, QueueFullError) else None
    return JSONResponse(error_body(error), status_code=error.status, headers=headers)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = f"{first['ctx']['error']} at character {first['loc'][-1]}"
        return _refused(f"the body is not JSON: {reason}")
    place = ".".join(str(step) for step in first["loc"] if step != "body")
    message = first["msg"].removeprefix("Value error, ")
    shown = f"{place}: {message}" if place else message
    return _refused(shown, param=place or None)


async def _answer_unreadable(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's own words for a body that is not UTF-8, or nested too deeply."""
    assert isinstance(error, HTTPException)
    return _refused(str(error.detail), status=error.status_code)


async def _answer_bug(request: Request, error: Exception) -> JSONResponse:
    """The traceback is in the log; the client gets an answer of the usual form."""
    return JSONResponse(error_body(InferenceError(f"internal error: {type(error).__name__}")), status_code=500)


def _refused(message: str, *, param: str | None = None, status: int = 400) -> JSONResponse:
    return JSONResponse(error_body(RequestError(message, param=param)), status_code=status)
