"""What a joining host and an issuer say to each other, and how each proves that it knows the token's secret.

    joiner → issuer   {id, csr, names, hostname, mac}, and {old_certificate, old_proof} of a membership that it leaves
    issuer → joiner   {certificate, authorities, revoked, issuers, mac}

The secret stays on both sides; an HMAC-SHA256 (RFC 2104) over everything else is sent. The two directions have labels
of their own, so that neither can be played back as the other, and the answer's MAC covers that of the request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from fg_tls.errors import JoinError

LARGEST_MESSAGE: Final = 64 * 2**10  # bytes; ours have about 2,000
_MOST_NAMES: Final = 64
_LONGEST_NAME: Final = 253
_REQUEST: Final = b"forgather join request 1"
_ANSWER: Final = b"forgather join answer 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """The wish of a host to become a member."""

    token_id: str
    authority: str  # the key hash that the joiner trusts; it is part of the MAC, and not sent
    csr: str  # PEM
    names: tuple[str, ...]
    hostname: str
    old_certificate: str = ""  # PEM, of the membership in the same cluster that the host leaves by joining
    old_proof: str = ""  # that it has the key of it

    def mac(self, secret: bytes) -> str:
        return _mac(secret, _REQUEST, self._fields() | {"authority": self.authority})

    def to_json(self, secret: bytes) -> bytes:
        """The body to send."""
        return json.dumps(self._fields() | {"mac": self.mac(secret)}).encode()

    def _fields(self) -> dict[str, Any]:
        fields = {"id": self.token_id, "csr": self.csr, "names": list(self.names), "hostname": self.hostname}
        old = {"old_certificate": self.old_certificate, "old_proof": self.old_proof}
        return fields | {name: text for name, text in old.items() if text}

    @classmethod
    def from_json(cls, body: bytes, *, authority: str) -> tuple[Self, str]:
        """The request of a body, and the MAC that came with it.

        Raises:
            JoinError: it is no such request.
        """
        fields = read_object(body)
        names = fields.get("names")
        texts = [fields.get(name) for name in ("id", "csr", "hostname", "mac")]
        texts += [fields.get(name, "") for name in ("old_certificate", "old_proof")]
        if not isinstance(names, list) or len(names) > _MOST_NAMES or not all(map(_is_text, [*texts, *names])):
            raise JoinError("the request to join lacks a field, or one is not text; both hosts need the same version")
        token_id, csr, hostname, mac, old_certificate, old_proof = map(str, texts)
        if max(map(len, [hostname, *map(str, names)])) > _LONGEST_NAME or not hostname.isprintable():
            raise JoinError(
                f"the request to join has a name that is no text, or of more than {_LONGEST_NAME} characters"
            )
        request = cls(
            token_id=token_id,
            authority=authority,
            csr=csr,
            names=tuple(map(str, names)),
            hostname=hostname,
            old_certificate=old_certificate,
            old_proof=old_proof,
        )
        return request, mac


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        JoinError: it is none.
    """
    try:
        fields: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise JoinError("the message is not JSON") from error
    if not isinstance(fields, dict):
        raise JoinError("the message is not a JSON object")
    return fields


def answer_mac(secret: bytes, request_mac: str, answer: Mapping[str, Any]) -> str:
    """Proof that `answer` is from whoever knows the secret, and is for this request."""
    return _mac(secret, _ANSWER, {"answer": dict(answer), "request": request_mac})


def same_mac(one: str, other: str) -> bool:
    """Compares in a time that does not tell how much is equal."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _mac(secret: bytes, label: bytes, fields: Mapping[str, Any]) -> str:
    transcript = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(secret, label + b"\0" + transcript, hashlib.sha256).hexdigest()
