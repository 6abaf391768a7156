"""The issuer as a server: a few small JSON messages over TLS."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fg_tls.errors import JoinError, StoreError, TlsError
from fg_tls.issuing.answers import LONGEST_POLL, answer_proof, answer_renewal, answer_state
from fg_tls.issuing.issuer import Issuer
from fg_tls.issuing.join_messages import LARGEST_MESSAGE, read_object
from fg_tls.issuing.proof import Challenges
from fg_tls.listener.access import PUBLIC, AccessTable, certificate
from fg_tls.listener.identity import PEER, Peer
from fg_tls.listener.throttle import Throttle
from fg_tls.pki.certificates import Certificate
from fg_tls.pki.names import Address, as_address

logger = logging.getLogger(__name__)

ISSUER_ACCESS: Final = AccessTable(
    {
        ("GET", "/v1/ca"): PUBLIC,
        ("POST", "/v1/join"): PUBLIC,  # the message carries its own proof
        ("POST", "/v1/prove"): PUBLIC,  # and so does this one
        ("POST", "/v1/renew"): certificate(),
        ("GET", "/v1/state"): certificate(),
    }
)
_ANYBODY: Final = ("/v1/join", "/v1/prove")


def create_issuer_app(issuer: Issuer, *, joined: Callable[[str], None] = lambda _token_id: None) -> Starlette:
    """The application; `joined` is called with the id of a token as soon as its user has the answer."""
    challenges, throttle = Challenges(issuer.clock), Throttle()

    async def authorities(_request: Request) -> JSONResponse:
        return JSONResponse(issuer.announcement())

    async def join(request: Request) -> JSONResponse:
        body = await _body(request)
        token_id, answer = await run_in_threadpool(issuer.join, body, came_from(request))
        return JSONResponse(answer, background=BackgroundTask(joined, token_id))

    async def renew(request: Request) -> JSONResponse:
        body = read_object(await _body(request))
        return JSONResponse(await run_in_threadpool(answer_renewal, issuer, _shown(request), body, came_from(request)))

    async def prove(request: Request) -> JSONResponse:
        body = read_object(await _body(request))
        return JSONResponse(await run_in_threadpool(answer_proof, issuer, challenges, body, came_from(request)))

    async def state(request: Request) -> JSONResponse:
        since, wait = request.query_params.get("since", ""), request.query_params.get("wait", "")
        seconds = min(float(wait), LONGEST_POLL) if wait.isdecimal() else LONGEST_POLL
        return JSONResponse(await answer_state(issuer, _shown(request), since=since, wait=seconds))

    return Starlette(
        routes=[
            Route("/v1/ca", authorities),
            Route("/v1/join", join, methods=["POST"]),
            Route("/v1/prove", prove, methods=["POST"]),
            Route("/v1/renew", renew, methods=["POST"]),
            Route("/v1/state", state),
        ],
        exception_handlers={TlsError: partial(_refused, throttle)},
    )


def came_from(request: Request) -> Address | None:
    """The address at the other end of the connection."""
    return as_address(request.client.host) if request.client else None


def _shown(request: Request) -> Certificate:
    """The certificate that the guard has admitted the caller by."""
    peer: Peer = request.scope["extensions"][PEER]
    assert peer.certificate is not None, "the access table asks for a certificate"
    return peer.certificate


async def _body(request: Request) -> bytes:
    """The body of a request.

    Raises:
        JoinError: it is larger than any message of ours; the rest of it is not read.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_MESSAGE:
            raise JoinError(f"the message is larger than {LARGEST_MESSAGE:,} bytes")
    return body


async def _refused(throttle: Throttle, request: Request, error: Exception) -> JSONResponse:
    """The error as JSON: 403 for a refusal, 400 for a malformed request, 503 for trouble on this host.

    Where anybody may ask, an address that was refused many times is told to wait (429), and fills our log no more.
    """
    if isinstance(error, StoreError):
        logger.error("cannot answer %s %s: %s", request.method, request.url.path, error)
        return _error(503, "the issuer cannot read or write its own files; its log says why")
    address = request.client.host if request.client else ""
    if request.url.path in _ANYBODY and (seconds := throttle.failed(address)):
        return _error(429, f"{error}; too many requests from {address} were refused, wait {seconds} s")
    logger.warning("refused %s from %s: %s", request.url.path, came_from(request) or "an unknown address", error)
    return _error(403 if isinstance(error, JoinError) else 400, str(error))


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status_code=status)
