"""One connection to a server that may be anything, and what it showed: the eyes of the doctor."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from fg_tls.errors import CertificateError
from fg_tls.pki.certificates import Certificate, read_der
from fg_tls.pki.names import as_address

PATIENCE: Final = 5.0  # seconds for one connection
_LONGEST_ERROR: Final = 4096  # bytes of a body that are read for the message in it
_OLD_TLS: Final = {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION"}
_NOT_TLS: Final = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}

Failure = Literal[
    "unknown-host", "nothing-listens", "no-answer", "unreachable", "not-tls", "old-tls", "refused-by-us", "refused"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server, and the path to ask it for."""

    host: str
    port: int
    path: str = "/"

    def __str__(self) -> str:
        address = as_address(self.host)
        return f"[{address}]:{self.port}" if address and address.version == 6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one connection showed; fields are None for what it did not come to."""

    failure: Failure | None = None
    detail: str = ""  # the words of the operating system, OpenSSL or the server
    verify_code: int = 0  # X509_V_ERR_… of a certificate that was "refused-by-us"
    certificate: Certificate | None = None
    status: int | None = None
    code: str = ""  # of an error, as this family of servers writes it
    date: datetime | None = None  # the clock of the server, to the second


def look(target: Target, context: ssl.SSLContext | None) -> Seen:
    """Ask `target` for its path, with TLS when there is a context, and note how far that came."""
    connection = _connection(target, context)
    certificate = None
    try:
        connection.connect()
        certificate = _shown(connection.sock)
        # The alert of a server that refuses our certificate comes after the handshake of TLS 1.3: only an answer tells.
        connection.request("GET", target.path, headers={"Connection": "close"})
        return _answer(connection.getresponse(), certificate)
    except (OSError, http.client.HTTPException) as error:
        return _failed(error, certificate)
    finally:
        connection.close()


def speaks_http(target: Target) -> bool:
    """Whether `target` answers in clear text."""
    return look(target, None).status is not None


def _connection(target: Target, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if context is None:
        return http.client.HTTPConnection(target.host, target.port, timeout=PATIENCE)
    return http.client.HTTPSConnection(target.host, target.port, timeout=PATIENCE, context=context)


def _shown(connection: socket.socket | None) -> Certificate | None:
    der = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
    try:
        return read_der(der) if der else None
    except CertificateError:
        return None


def _answer(response: http.client.HTTPResponse, certificate: Certificate | None) -> Seen:
    error = _error(response.read(_LONGEST_ERROR)) if response.status >= 400 else {}
    return Seen(
        certificate=certificate,
        status=response.status,
        detail="".join(each for each in str(error.get("message", ""))[:200] if each.isprintable()),
        code=str(error.get("code") or ""),
        date=_date(response.getheader("Date")),
    )


def _error(body: bytes) -> dict[str, Any]:
    """An error as this family of servers writes it; nothing of any other body."""
    try:
        found = json.loads(body)["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _date(header: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None


def _failed(error: OSError | http.client.HTTPException, certificate: Certificate | None) -> Seen:
    def seen(failure: Failure, detail: str | None = None, code: int = 0) -> Seen:
        return Seen(failure=failure, detail=detail or str(error), certificate=certificate, verify_code=code)

    match error:
        case ssl.SSLCertVerificationError():
            return seen("refused-by-us", error.verify_message, error.verify_code)
        case ssl.SSLError() if error.reason in _OLD_TLS:
            return seen("old-tls", error.reason)
        case ssl.SSLError() if error.reason in _NOT_TLS:
            return seen("not-tls", error.reason)
        case socket.gaierror():
            return seen("unknown-host", error.strerror)
        case TimeoutError():
            return seen("no-answer", f"no answer within {PATIENCE:.0f} seconds")
        case ConnectionRefusedError():
            return seen("nothing-listens", error.strerror)
        case ssl.SSLError() | ConnectionError() | http.client.HTTPException():
            return seen("refused", getattr(error, "reason", None) or str(error) or type(error).__name__)
        case _:
            return seen("unreachable", getattr(error, "strerror", None))
