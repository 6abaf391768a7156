"""Proof that somebody still has the private key of a certificate that ran out: the way back of a host that was off.

TLS refuses such a certificate in the handshake, so the proof is a signature over a challenge of the issuer, the old
certificate and the request for the new one. Each challenge counts once, for a minute, and for one certificate.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fg_tls.clock import Clock
from fg_tls.errors import JoinError
from fg_tls.pki.certificates import Certificate

WINDOW: Final = timedelta(minutes=1)
_PURPOSE: Final = b"forgather proof of possession v1\0"
_NONCE_BYTES: Final = 16
_TIME_BYTES: Final = 8


class Challenges:
    """Challenges of one issuer. It remembers those that were met, and nothing about those that were only asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = os.urandom(32)
        self._lock = threading.Lock()
        self._met: dict[str, datetime] = {}  # until when each could be shown again

    def new(self, certificate: Certificate) -> str:
        """A challenge for the holder of `certificate`."""
        seconds = int(self._clock().timestamp())
        head = os.urandom(_NONCE_BYTES) + seconds.to_bytes(_TIME_BYTES, "big")
        return base64.urlsafe_b64encode(head + self._tag(head, certificate)).decode()

    def meet(self, challenge: str, certificate: Certificate) -> None:
        """Use up a challenge.

        Raises:
            JoinError: it is not one of ours for `certificate`, is too old, or was used.
        """
        now = self._clock()
        made = self._made_at(challenge, certificate)
        if made is None or not timedelta() <= now - made <= WINDOW:
            raise JoinError("the challenge is not of this issuer or is over a minute old; ask for a new one")
        with self._lock:
            self._met = {each: until for each, until in self._met.items() if until >= now}
            if challenge in self._met:
                raise JoinError("the challenge was used before; ask for a new one")
            self._met[challenge] = made + WINDOW

    def _made_at(self, challenge: str, certificate: Certificate) -> datetime | None:
        try:
            data = base64.b64decode(challenge.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        head, tag = data[: _NONCE_BYTES + _TIME_BYTES], data[_NONCE_BYTES + _TIME_BYTES :]
        if not hmac.compare_digest(tag, self._tag(head, certificate)):
            return None
        return datetime.fromtimestamp(int.from_bytes(head[_NONCE_BYTES:], "big"), UTC)

    def _tag(self, head: bytes, certificate: Certificate) -> bytes:
        return hmac.digest(self._key, head + certificate.der, "sha256")


def sign(key: ec.EllipticCurvePrivateKey, challenge: str, certificate: Certificate, request: str) -> str:
    """The proof (base64) for a certificate signing request (PEM)."""
    return base64.b64encode(key.sign(_transcript(challenge, certificate, request), ec.ECDSA(hashes.SHA256()))).decode()


def verify(proof: str, challenge: str, certificate: Certificate, request: str) -> bool:
    """Whether whoever made `proof` has the private key of `certificate`."""
    key = certificate.x509.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        signature = base64.b64decode(proof.encode("ascii"), validate=True)
        key.verify(signature, _transcript(challenge, certificate, request), ec.ECDSA(hashes.SHA256()))
    except (binascii.Error, UnicodeEncodeError, InvalidSignature):
        return False
    return True


def _transcript(challenge: str, certificate: Certificate, request: str) -> bytes:
    parts = (challenge.encode(), certificate.der, request.encode())
    return _PURPOSE + b"".join(hashlib.sha256(part).digest() for part in parts)
