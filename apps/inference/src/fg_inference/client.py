"""A client for this server, and for others that speak OpenAI's completions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx

from fg_inference.errors import ServerError
from fg_inference.server import SERVICE
from fg_tls import PeerError
from fg_tls.clients.connections import connect
from fg_tls.endpoints import endpoints

_PORT: Final = 8137
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
        ServerError: `url` is not a URL, or in clear text to another machine (`insecure` allows that, without a token).
        fg_tls.TlsError: the token file, or the certificates of this host, cannot be used.
    """

    def __init__(self, url: str, *, token_file: Path | None = None, insecure: bool = False) -> None:
        self.url = url.rstrip("/")
        with self._errors():
            self._http = connect(self.url, token_file=token_file, service=SERVICE, timeout=_TIMEOUT, insecure=insecure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def health(self) -> str:
        """The state that the server reports, `ok` if all is well."""
        return str(self._get(self._http.base_url.copy_with(path="/health"))["status"])

    def models(self) -> list[str]:
        """The names of the models that the server has."""
        return [str(model["id"]) for model in self._get("models")["data"]]

    def chat(self, model: str, messages: Sequence[Mapping[str, str]], **settings: Any) -> Reply:
        """The answer to a conversation; `settings` are fields of the request, and None leaves one out."""
        body = {"model": model, "messages": list(messages)} | settings
        return Reply(self._stream("chat/completions", body), chat=True)

    def complete(self, model: str, prompt: str, **settings: Any) -> Reply:
        """How the model continues `prompt`."""
        return Reply(self._stream("completions", {"model": model, "prompt": prompt} | settings), chat=False)

    def _get(self, url: str | httpx.URL) -> dict[str, Any]:
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
        except PeerError as error:
            raise ServerError(str(error)) from error
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            reason = str(error) or type(error).__name__
            raise ServerError(
                f"no answer from {self.url}: {reason}; start a server with `forgather inf server -m MODEL`, "
                "or say where it is with --url"
            ) from error


def local_url() -> str:
    """The URL of the server on this machine; of several, that on the usual port.

    Raises:
        ServerError: several run, and none on the usual port.
    """
    running = [each for each in endpoints(SERVICE) if each.urls]
    chosen = [each for each in running if each.port == _PORT] or running
    if len(chosen) > 1:
        urls = ", ".join(f"{each.urls[0]}/v1" for each in chosen)
        raise ServerError(f"{len(chosen)} servers run on this machine ({urls}); say which one with --url")
    # Not `localhost`: that may be ::1 first, where somebody else could listen.
    return f"{chosen[0].urls[0]}/v1" if chosen else f"http://127.0.0.1:{_PORT}/v1"


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
