"""How a host that trusts nobody yet talks to an issuer: it looks at its authority, then trusts only that."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from fg_tls.clock import Clock
from fg_tls.errors import JoinError, PeerError
from fg_tls.issuing.join_messages import LARGEST_MESSAGE, read_object
from fg_tls.pki.certificates import Certificate, read_der, read_pem
from fg_tls.pki.contexts import Material, client_context, unverified_context

_TIMEOUT: Final = 15.0  # seconds, for each step
_LARGEST_ANSWER: Final = 16 * LARGEST_MESSAGE  # a revocation list grows with the cluster
_LONGEST_REASON: Final = 1000  # characters
_TOLERATED_SKEW: Final = timedelta(minutes=5)  # certificates are back-dated by as much
_VERIFY_DATES: Final = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAddress:
    """Where an issuer listens, and the authority that it must be vouched for by."""

    endpoint: str  # host:port
    authority: Certificate

    @property
    def url(self) -> str:
        return f"https://{self.endpoint}"


def find_issuer(endpoint: str, authority_hash: str, *, clock: Clock) -> IssuerAddress:
    """Look at the authorities that are shown at `endpoint`, without trusting anybody, for the one with that key hash.

    Raises:
        PeerError: nobody answers there, or with something else.
        JoinError: other authorities are shown, or the clocks differ by so much that no certificate would hold.
    """
    with _connection(endpoint, unverified_context()) as connection:
        answer = _ask(connection, endpoint, "GET", "/v1/ca")
    try:
        shown = read_pem(str(answer["authorities"]).encode(), f"the answer of {endpoint}")
        time = datetime.fromisoformat(str(answer["time"]))
        skew = clock() - time
    except (KeyError, ValueError, TypeError) as error:
        raise PeerError(f"{endpoint} answers, but is no issuer of this version; check the port in the token") from error
    pinned = next((each for each in shown if each.key_hash == authority_hash and each.is_authority), None)
    if pinned is None:
        raise JoinError(
            f"{endpoint} shows another authority than the token names, so nothing was sent to it: somebody may stand "
            "in between, or the token is of another cluster; make a new one with `forgather tls join-token` there"
        )
    if abs(skew) > _TOLERATED_SKEW:
        raise JoinError(
            f"the clock of this host says {clock():%Y-%m-%d %H:%M} UTC and that of {endpoint} {time:%Y-%m-%d %H:%M} "
            "UTC; set the wrong one (`timedatectl set-ntp true`), then join with the same token"
        )
    return IssuerAddress(endpoint=endpoint, authority=pinned)


def post(issuer: IssuerAddress, path: str, body: bytes, *, clock: Clock) -> dict[str, Any]:
    """Send a message to an issuer that the pinned authority vouches for, and nobody else.

    Raises:
        PeerError: it cannot be reached, or somebody else answers; nothing was sent.
        JoinError: it refused, or the connection broke after the message was sent.
    """
    context = client_context(Material(authorities=(issuer.authority,)), clock=clock)
    with _connection(issuer.endpoint, context) as connection:
        _connect(connection, issuer.endpoint, clock)
        try:
            return _ask(connection, issuer.endpoint, "POST", path, body)
        except PeerError as error:
            raise JoinError(
                f"the connection to {issuer.endpoint} broke after the request was sent ({error}), so the token may be "
                "used up; make a new one with `forgather tls join-token` on the host of the authority, and join with "
                "it in a minute, when nobody has come with the certificate that may be lost"
            ) from error


@contextmanager
def _connection(endpoint: str, context: ssl.SSLContext) -> Iterator[http.client.HTTPSConnection]:
    parts = urlsplit(f"//{endpoint}")
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT, context=context)
    try:
        yield connection
    finally:
        connection.close()


def _connect(connection: http.client.HTTPSConnection, endpoint: str, clock: Clock) -> None:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        raise PeerError(_unverified_reason(error, endpoint, clock())) from error
    except (OSError, http.client.HTTPException) as error:
        raise PeerError(f"cannot reach {endpoint}: {_reason(error)}") from error
    shown = connection.sock.getpeercert(binary_form=True)
    if shown is None or not read_der(shown).valid_at(clock()):
        raise PeerError(
            f"the certificate of {endpoint} does not hold now ({clock():%Y-%m-%d %H:%M} UTC); nothing was sent"
        )


def _ask(
    connection: http.client.HTTPSConnection, endpoint: str, method: str, path: str, body: bytes | None = None
) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} if body else {}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read(_LARGEST_ANSWER + 1)
    except (OSError, http.client.HTTPException) as error:
        raise PeerError(f"cannot reach {endpoint}: {_reason(error)}") from error
    if len(data) > _LARGEST_ANSWER:
        raise PeerError(f"{endpoint} answers with more than {_LARGEST_ANSWER:,} bytes; it is no issuer")
    if response.status == 200:
        return _object(data, endpoint)
    if body is None:
        raise PeerError(f"{endpoint} answers with HTTP status {response.status}; it is no issuer")
    raise JoinError(f"{endpoint} refused: {_message(data)}")


def _object(data: bytes, endpoint: str) -> dict[str, Any]:
    try:
        return read_object(data)
    except JoinError as error:
        raise PeerError(f"{endpoint} answers with something else than JSON; it is no issuer") from error


def _message(data: bytes) -> str:
    """The reason of a refusal, as one line for a terminal."""
    try:
        text = str(read_object(data)["error"]["message"])
    except (JoinError, KeyError, TypeError):
        return "without a reason that this version can read"
    return "".join(character for character in text[:_LONGEST_REASON] if character.isprintable())


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; run `forgather tls serve` on the host of the authority"
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT:.0f} seconds; check its address and firewall"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error})"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _unverified_reason(error: ssl.SSLCertVerificationError, endpoint: str, now: datetime) -> str:
    if error.verify_code in _VERIFY_DATES:
        clock = f"the clock of this host says {now:%Y-%m-%d %H:%M} UTC"
        return f"the certificate of {endpoint} does not hold now ({error.verify_message}); {clock}; nothing was sent"
    return (
        f"whoever answers at {endpoint} has no certificate of the authority that the token names "
        f"({error.verify_message}), so nothing was sent; somebody may stand in between, or the issuer needs this name "
        "in its certificate"
    )
