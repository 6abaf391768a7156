"""A client for this server, and for others that speak OpenAI's completions."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx

from fg_inference.errors import ServerError
from fg_inference.server import SERVICE
from fg_tls import read_token, token_path

_TIMEOUT: Final = httpx.Timeout(10.0, read=600.0)


@dataclass(slots=True)
class Reply:
    """The text of one answer, piece by piece; `reason` and `usage` are known when it has been read to the end."""

    pieces: Iterator[dict[str, Any]]
    chat: bool
    reason: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        for piece in self.pieces:
            self.usage = piece.get("usage") or self.usage
            for choice in piece.get("choices", []):
                self.reason = choice.get("finish_reason") or self.reason
                text = choice.get("delta", {}).get("content") if self.chat else choice.get("text")
                if text:
                    yield text


class InferenceClient:
    """Talks to the server at `url` (with `/v1`), with the bearer token of `token_file` or the local server's own.

    Raises:
        ServerError: `url` is not a URL.
        fg_tls.TokenFileError: the token file cannot be used.
    """

    def __init__(self, url: str, *, token_file: Path | None = None) -> None:
        self.url = _checked_url(url)
        token = _token(self.url, token_file)
        # Proxies of the environment would see the token.
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=_TIMEOUT,
            trust_env=not _loopback(self.url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def health(self) -> str:
        """The state that the server reports, `ok` if all is well."""
        return str(self._get(f"{self.url.removesuffix('/v1')}/health")["status"])

    def models(self) -> list[str]:
        """The names of the models that the server has."""
        return [str(model["id"]) for model in self._get(f"{self.url}/models")["data"]]

    def chat(self, model: str, messages: Sequence[Mapping[str, str]], **settings: Any) -> Reply:
        """The answer to a conversation; `settings` are fields of the request, and None leaves one out."""
        body = {"model": model, "messages": list(messages)} | settings
        return Reply(self._stream(f"{self.url}/chat/completions", body), chat=True)

    def complete(self, model: str, prompt: str, **settings: Any) -> Reply:
        """How the model continues `prompt`."""
        return Reply(self._stream(f"{self.url}/completions", {"model": model, "prompt": prompt} | settings), chat=False)

    def _get(self, url: str) -> dict[str, Any]:
        with self._errors():
            response = self._http.get(url)
            _check(response)
            return dict(response.json())

    def _stream(self, url: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        sent = {name: value for name, value in body.items() if value is not None}
        sent |= {"stream": True, "stream_options": {"include_usage": True}}
        with self._errors(), self._http.stream("POST", url, json=sent) as response:
            if response.is_error:
                response.read()
            _check(response)
            for line in response.iter_lines():
                data = line.removeprefix("data: ")
                if data == "[DONE]":
                    return
                if data:
                    yield _checked_event(json.loads(data))
        raise ServerError(f"{self.url} ended the answer before its end")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            reason = str(error) or type(error).__name__
            raise ServerError(
                f"no answer from {self.url}: {reason}; start a server with `forgather inf server -m MODEL`, "
                "or say where it is with --url"
            ) from error


def _checked_url(url: str) -> str:
    try:
        good = httpx.URL(url).scheme in ("http", "https") and httpx.URL(url).host
    except httpx.InvalidURL:
        good = False
    if not good:
        raise ServerError(f"{url!r} is not the URL of a server; write for example http://localhost:8137/v1")
    return url.rstrip("/")


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):  # not from a server of this kind
        message = response.text[:200]
    hint = "; give the server's token with --auth-token-file" if response.status_code == 401 else ""
    raise ServerError(f"the server answered {response.status_code}: {message}{hint}")


def _checked_event(event: dict[str, Any]) -> dict[str, Any]:
    if "error" in event:
        raise ServerError(f"the server gave up: {event['error']['message']}")
    return event


def _token(url: str, token_file: Path | None) -> str | None:
    if token_file is not None:
        return read_token(token_file)
    path = token_path(SERVICE, httpx.URL(url).port or 80) if _loopback(url) else None
    return read_token(path) if path is not None and path.is_file() else None


def _loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
