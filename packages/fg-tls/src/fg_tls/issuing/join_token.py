"""The one line that lets a host join: whom to ask, whom to trust, and a secret that is used once.

    fgj1.<base64url of JSON and its CRC-32>

The JSON holds `ca` (the SHA-256 of the authority's public key, as kubeadm's discovery-token-ca-cert-hash), `ep` (where
the issuer listens), `id` and `s` (16 random bytes). The secret never travels: it only keys the MACs of the join. The
checksum tells a slip of the mouse from a wrong token before anything is sent.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from fg_tls.errors import JoinError

PREFIX: Final = "fgj1."
_SECRET_BYTES: Final = 16
_ID_BYTES: Final = 9
_HASH_BYTES: Final = 32
_CHECKSUM_BYTES: Final = 4
_LONGEST: Final = 2048  # characters; ours have about 190
_MOST_ENDPOINTS: Final = 8
_ID: Final = re.compile(r"[A-Za-z0-9_-]{12}")
_ENDPOINT: Final = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9.-]{1,253}):([0-9]{1,5})", re.IGNORECASE)
_MAKE_A_NEW_ONE: Final = "make a new one with `forgather tls join-token` on the host of the authority"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """A decoded join token."""

    authority: str  # SHA-256 of the public key, hexadecimal, as `Certificate.key_hash`
    endpoints: tuple[str, ...]  # host:port, the likeliest first
    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def create(cls, *, authority: str, endpoints: Sequence[str]) -> Self:
        """A token with a fresh id and secret."""
        return cls(
            authority=authority,
            endpoints=tuple(endpoints[:_MOST_ENDPOINTS]),
            id=secrets.token_urlsafe(_ID_BYTES),
            secret=secrets.token_bytes(_SECRET_BYTES),
        )

    def encode(self) -> str:
        """The line that a person copies."""
        fields = {
            "ca": _to_base64(bytes.fromhex(self.authority)),
            "ep": list(self.endpoints),
            "id": self.id,
            "s": _to_base64(self.secret),
        }
        data = json.dumps(fields, separators=(",", ":")).encode()
        return PREFIX + _to_base64(data + _checksum(data))

    @classmethod
    def decode(cls, text: str) -> Self:
        """The token of a line; blanks and line breaks from a terminal that wrapped it are ignored.

        Raises:
            JoinError: it is no join token, is cut off, or is mistyped.
        """
        fields = _fields("".join(text.split()))
        try:
            return cls(
                authority=_bytes(fields["ca"], _HASH_BYTES).hex(),
                endpoints=_endpoints(fields["ep"]),
                id=_id(fields["id"]),
                secret=_bytes(fields["s"], _SECRET_BYTES),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise JoinError(f"the join token says something that this version does not know; {_MAKE_A_NEW_ONE}") from (
                error
            )


def _fields(text: str) -> dict[str, Any]:
    if not text:
        raise JoinError(f"there is no join token in the input; {_MAKE_A_NEW_ONE}, then pass it on the standard input")
    if not text.startswith(PREFIX):
        kind = f"of another kind ({text[:5]})" if re.match(r"fgj[0-9]\.", text) else "no join token"
        raise JoinError(f"the input is {kind}; a join token of this version begins with {PREFIX}")
    if len(text) > _LONGEST:
        raise JoinError(
            f"the input has {len(text):,} characters, which is too long for a join token; copy that line only"
        )
    data = _decoded(text.removeprefix(PREFIX))
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if checksum == _checksum(body):
        fields: Any = json.loads(body)
        return fields
    reason = "mistyped" if body.endswith(b"}") else "cut off"
    raise JoinError(f"the join token is {reason} (its checksum does not match); copy the whole line once more")


def _decoded(text: str) -> bytes:
    try:
        return _from_base64(text)
    except ValueError as error:
        raise JoinError(
            "the join token is cut off or mistyped (it is not base64url); copy the whole line once more"
        ) from error


def _endpoints(values: list[str]) -> tuple[str, ...]:
    matches = [_ENDPOINT.fullmatch(value) for value in values]
    if not 1 <= len(values) <= _MOST_ENDPOINTS or any(m is None or not 0 < int(m[2]) < 65536 for m in matches):
        raise ValueError("endpoints")
    return tuple(values)


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError("id")
    return value


def _bytes(value: str, size: int) -> bytes:
    data = _from_base64(value)
    if len(data) != size:
        raise ValueError("size")
    return data


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "big")


def _to_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _from_base64(text: str) -> bytes:
    """Strict: what Python would skip or ignore is an error here, so that one token has one spelling."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _to_base64(data) != text:
        raise ValueError("not base64url")
    return data
