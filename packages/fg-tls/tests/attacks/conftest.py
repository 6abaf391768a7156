"""One attacked server for each transport; after every attack its users are served and nothing else got through."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from fg_tls import Names, Store
from fg_tls.host.store import Identity
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import parse_names, private_constraints

from .forgery import Pair, forge, signer_of
from .target import Target, attacked

SERVER_NAMES = ("localhost", "box.local", "127.0.0.1", "::1")
MOST_OPEN_FILES_MORE = 8
MOST_MEMORY_MORE = 160 * 2**20  # asyncio keeps 256 KiB for each TLS connection; hundreds are opened at once
_sources = itertools.count(1)


def provision(directory, names: Names) -> tuple[Store, Authority]:
    """A host with an authority and a certificate of its own."""
    store, now = Store(directory), datetime.now(UTC)
    authority = Authority.create("Forgather test", private_constraints(names), now=now)
    key = new_key()
    member = Member(cluster=authority.cluster, role="member", id="aaaa-1")
    leaf = authority.issue(key.public_key(), member=member, names=names, now=now)
    store.save_identity(Identity(key=key, chain=(leaf,)))
    store.save_authorities((authority.certificate,))
    return store, authority


@pytest.fixture(scope="session")
def protected(tmp_path_factory):
    """A server with TLS on every interface."""
    directory = tmp_path_factory.mktemp("protected")
    store, authority = provision(directory / "tls", parse_names(SERVER_NAMES))
    with attacked(directory, host="0.0.0.0", store=store, authority=authority) as target:
        yield target


@pytest.fixture(scope="session")
def clear(tmp_path_factory):
    """A server on loopback without TLS."""
    with attacked(tmp_path_factory.mktemp("clear"), host="127.0.0.1", store=None, authority=None) as target:
        yield target


@pytest.fixture(scope="session", params=["protected", "clear"])
def target(request) -> Target:
    """Both servers, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def signer(protected) -> Pair:
    """The authority of the server, as somebody who stole its key has it."""
    return signer_of(protected.authority)


@pytest.fixture(scope="session")
def honest(protected, signer, tmp_path_factory):
    """The certificate of an honest member."""
    uri = Member(cluster=protected.authority.cluster, role="member", id="aaaa-2").uri
    return forge(signer, uris=[uri]).write(tmp_path_factory.mktemp("honest") / "member.pem")


@pytest.fixture(autouse=True)
def unharmed(request, honest):
    """Each attack comes from an address of its own, nothing of it gets through, and it costs the others nothing."""
    name = "target" if "target" in request.fixturenames else "clear" if "clear" in request.fixturenames else "protected"
    target: Target = request.getfixturevalue(name)
    number = next(_sources)
    target.source = f"127.1.{number // 250}.{number % 250 + 1}"
    before, files, memory = len(target.entries()), target.process.num_fds(), target.process.memory_info().rss
    logged = len(target.log())
    yield
    got_through = target.entries()[before:]
    expected, target.legitimate = target.legitimate - before, before + len(got_through)
    assert len(got_through) == expected, f"this reached the application: {got_through}"
    target.source = "127.0.0.1"
    target.serves_its_users(honest if target.store else None)
    assert len(target.entries()) == target.legitimate
    assert target.process.num_fds() <= files + MOST_OPEN_FILES_MORE
    assert target.process.memory_info().rss <= memory + MOST_MEMORY_MORE
    assert "Traceback" not in target.log()[logged:]
