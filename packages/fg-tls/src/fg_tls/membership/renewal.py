"""How a certificate is followed by the next one, before it runs out or after.

While it counts, a certificate is renewed over mutual TLS. A host that was off for longer proves that it still has the
old key (`proof`), for up to 90 days. The next certificate has a key of its own, made here; only a request for it is
sent. The authority's host renews its own certificate without asking anybody.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import CertificateError, JoinError, NotProvisionedError, PeerError, StoreError, TlsError
from fg_tls.host.store import Identity, Store
from fg_tls.host.this_host import names_of_this_host
from fg_tls.issuing import proof
from fg_tls.issuing.bulletin import Bulletin
from fg_tls.membership.asking import HangUp, Line
from fg_tls.membership.own_revocation import take_list
from fg_tls.pki.certificates import Certificate, key_hash, read_pem
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import Names
from fg_tls.pki.signing_requests import signing_request
from fg_tls.pki.succession import followed, statements

logger = logging.getLogger(__name__)

T = TypeVar("T")
Progress = Callable[[str], None]

_JITTER: Final = 0.1
_SLOW: Final = 2.0  # seconds
_HOW_TO_RETURN: Final = (
    "ask for a join token on the host of the authority (`forgather tls join-token`) and run `forgather tls join` here"
)


def renew_at(certificate: Certificate) -> datetime:
    """When to renew: after two thirds of its life, a tenth earlier or later so that hosts do not come all at once.

    The same certificate is always due at the same moment, however often it is asked about.
    """
    digest = hashlib.sha256(certificate.serial.to_bytes(20, "big")).digest()
    spread = int.from_bytes(digest[:4], "big") / 2**32 * 2 - 1
    return certificate.not_before + (certificate.not_after - certificate.not_before) * (2 / 3) * (1 + _JITTER * spread)


def due(identity: Identity, now: datetime) -> bool:
    """Whether it is time to renew."""
    return now >= renew_at(identity.certificate)


def renew(
    store: Store, clock: Clock = SYSTEM, *, names: Names | None = None, progress: Progress = logger.debug
) -> Identity:
    """Give this host its next certificate, with the names that it has now and those that were set for it.

    `names` stand in for those that it has now. The issuer may leave some out. `progress` is told of one that is slow.

    Raises:
        NotProvisionedError: this host has no certificate of a cluster, or knows no issuer.
        JoinError, PeerError: no issuer renewed it, and why; what was there stays.
    """
    identity = store.identity()
    own = names_of_this_host() if names is None else names
    try:
        wanted = _kept(store, identity.certificate) | store.settings().names | own
        renewed = _renewed(store, identity, wanted, clock, progress)
    except TlsError as error:
        _remember_failure(store, error, clock())
        raise
    store.save_identity(renewed)
    store.write_state(
        renewed=clock().isoformat(),
        declined=declined(wanted, renewed.certificate),
        own_hostnames=list(own.hostnames),
        last_failure=None,
        failing_since=None,
    )
    logger.info("renewed the certificate of this host; it holds to %s", renewed.certificate.not_after)
    return renewed


def _kept(store: Store, certificate: Certificate) -> Names:
    """The names of a certificate that are to stay: those that were not just what this host was called at the time.

    Addresses do not stay. A laptop would collect those of every network that it was ever in, and keep others from them.
    """
    passing = store.read_state().get("own_hostnames", [])
    return Names(hostnames=tuple(each for each in certificate.names.hostnames if each not in passing))


def agreed(wanted: Names, certificate: Certificate) -> Names:
    """The names that were asked for and that the authority has put into `certificate`."""
    return Names(
        hostnames=tuple(each for each in wanted.hostnames if each in certificate.names),
        addresses=tuple(each for each in wanted.addresses if str(each) in certificate.names),
    )


def declined(wanted: Names, certificate: Certificate) -> list[str]:
    """The names that were asked for and that the authority has left out: others hold them, or a person chose."""
    return [each for each in _texts(wanted) if each not in certificate.names]


def missing_names(store: Store, certificate: Certificate, own: Names | None = None) -> tuple[str, ...]:
    """Names that were asked for, or that this host has for good, and that its authority would vouch for.

    `own` stand in for those that it has now. Of IPv6, addresses come and go within hours (RFC 8981): nobody is bothered
    with each, unless there are no others.
    """
    if certificate.member is not None and certificate.member.role == "submitter":
        return ()  # it serves nothing, and is given no names
    own = names_of_this_host(bridges=False) if own is None else own
    lasting = tuple(each for each in own.addresses if each.version == 4)
    if any(not each.is_loopback for each in lasting):
        own = Names(hostnames=own.hostnames, addresses=lasting)
    limits = [each.constraints for each in store.cluster_authorities()]
    own = limits[0].permits(own) if limits and limits[0] else own
    refused = store.read_state().get("declined", [])  # asking once more would change nothing
    wanted = (*_texts(store.settings().names), *(each for each in _texts(own) if each not in refused))
    return tuple(each for each in dict.fromkeys(wanted) if each not in certificate.names)


def _texts(names: Names) -> tuple[str, ...]:
    return (*names.hostnames, *map(str, names.addresses))


def catch_up(line: Line) -> bool:
    """Trust the authorities that followed ours while this host was off; whether there were any.

    Whoever answers is not verified, and need not be: each successor is vouched for by an authority that we trust.

    Raises:
        PeerError, JoinError: nobody answers, or not as an issuer.
    """
    trusted = line.store.cluster_authorities()
    newer = followed(trusted, statements(line.ask_anybody("/v1/ca")))
    if newer == trusted:
        return False
    line.store.save_authorities(newer)
    logger.info("the authority of this cluster was replaced while this host was off; now trusting its successor")
    return True


def at_an_issuer(store: Store, clock: Clock, question: Callable[[Line], T], hang_up: HangUp | None = None) -> T:
    """What the first issuer says that answers, after it has caught up with new authorities if it must.

    The one that answered last is asked first. `hang_up` ends it from another thread.

    Raises:
        NotProvisionedError: this host knows no issuer.
        JoinError, PeerError: why none helped; a refusal says more than silence elsewhere.
    """
    failure: TlsError = NotProvisionedError(
        f"no issuer is known in {store.directory / 'config.yaml'}; add its URL below `issuers`, or {_HOW_TO_RETURN}"
    )
    ending = hang_up or HangUp()
    last = store.read_state().get("answered")
    for url in sorted(store.settings().issuers, key=lambda each: each != last):
        try:
            answer = _twice(Line(store=store, url=url, clock=clock, hang_up=ending), question)
        except (JoinError, PeerError) as error:
            failure = failure if isinstance(failure, JoinError) else error
        else:
            _remember_answer(store, url)
            return answer
    if not ending.ended:
        _remember_silence(store, clock())
    raise failure


def _remember_answer(store: Store, url: str) -> None:
    """Keep which issuer has helped: it is asked first the next time."""
    known = store.read_state()
    if known.get("answered") != url or "unheard_since" in known:
        with suppress(StoreError):  # what the issuer said counts
            store.write_state(answered=url, unheard_since=None)


def _remember_silence(store: Store, now: datetime) -> None:
    """Keep since when no issuer has helped, for `forgather tls status`."""
    if "unheard_since" not in store.read_state():
        with suppress(StoreError):  # why none has helped counts
            store.write_state(unheard_since=now.isoformat())


@contextmanager
def _said_when_slow(text: str, progress: Progress) -> Iterator[None]:
    timer = threading.Timer(_SLOW, progress, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _twice(line: Line, question: Callable[[Line], T]) -> T:
    """Ask, and once more if the authority turns out to have been replaced; who is refused may have been revoked."""
    try:
        return question(line)
    except JoinError:
        take_list(line)
        raise
    except PeerError:
        if not catch_up(line):
            raise
    return question(line)


def _renewed(store: Store, identity: Identity, wanted: Names, clock: Clock, progress: Progress) -> Identity:
    if store.authority_path.is_file():
        return _renewed_here(store, identity, wanted, clock)
    key = new_key()
    request = {"csr": signing_request(key), "names": [*wanted.hostnames, *map(str, wanted.addresses)]}

    def question(line: Line) -> Identity:
        with _said_when_slow(f"waiting for the issuer at {line.url}", progress):
            answer = _answer(line, identity, request)
        renewed = _checked(answer, key, identity.certificate)
        Bulletin.from_json(answer).take(store)
        return renewed

    return at_an_issuer(store, clock, question)


def _answer(line: Line, identity: Identity, request: dict[str, Any]) -> dict[str, Any]:
    """Renew over mutual TLS while the certificate and its authority count, else by proof of possession."""
    if identity.certificate.valid_at(line.clock()):
        try:
            return line.ask("/v1/renew", request)
        except (PeerError, JoinError):
            # Our certificate may be of an authority that was replaced meanwhile: then only the proof is left. If it is
            # revoked, the server does not know us any more, and only the answer to a proof says why.
            logger.debug("cannot renew over mutual TLS; trying by proof of possession", exc_info=True)
    old = {"certificate": identity.certificate.pem.decode("ascii")}
    challenge = line.ask_anonymously("/v1/prove", old).get("challenge")
    if not isinstance(challenge, str):
        raise JoinError("the issuer's challenge cannot be read")
    signature = proof.sign(identity.key, challenge, identity.certificate, request["csr"])
    return line.ask_anonymously("/v1/prove", old | request | {"challenge": challenge, "signature": signature})


def _checked(answer: dict[str, Any], key: ec.EllipticCurvePrivateKey, old: Certificate) -> Identity:
    """The certificate of an answer, if it is for our new key and the member that we are."""
    try:
        (certificate,) = read_pem(str(answer.get("certificate")).encode(), "the issuer's answer")
    except (ValueError, CertificateError) as error:
        raise JoinError("the issuer's answer holds no certificate") from error
    if certificate.key_hash != key_hash(key.public_key()) or certificate.member != old.member:
        raise JoinError("the issuer answered with the certificate of another member or key")
    return Identity(key=key, chain=(certificate,))


def _renewed_here(store: Store, identity: Identity, wanted: Names, clock: Clock) -> Identity:
    from fg_tls.issuing.answers import following
    from fg_tls.issuing.issuer import Issuer

    member = identity.certificate.member
    if member is None:
        raise CertificateError(f"the certificate in {store.identity_path} names no member; {_HOW_TO_RETURN}")
    key = new_key()
    certificate = following(Issuer(store, clock), identity.certificate, member, key.public_key(), wanted)
    return Identity(key=key, chain=(certificate,))


def _remember_failure(store: Store, error: TlsError, now: datetime) -> None:
    """Keep what went wrong for `forgather tls status`; say it once, not with every attempt."""
    state = store.read_state()
    if state.get("last_failure") != str(error):
        logger.warning("cannot renew the certificate of this host: %s", error)
        store.write_state(last_failure=str(error), failing_since=state.get("failing_since") or now.isoformat())
