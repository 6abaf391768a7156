import socket
import subprocess
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route

from fg_tls import AccessTable, PeerError, certificate, token
from fg_tls.clients.doctor import diagnose, target_of
from fg_tls.clock import SYSTEM
from fg_tls.host.provisioning import init, install, mint
from fg_tls.host.store import Identity, Store
from fg_tls.issuing.revoking import revoke
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import Constraints, parse_names, private_constraints

LOCAL = parse_names(["localhost", "127.0.0.1"])
LONGEST_WAIT = 30


def new_authority(name="home", constraints=None, **options):
    return Authority.create(name, constraints or private_constraints(), now=SYSTEM(), **options)


def new_store(directory, authority, *, names=LOCAL, role="member", issued=timedelta(), trusting=None):
    """The directory of a host whose certificate `authority` issued that long ago."""
    store = Store(directory)
    key = new_key()
    member = Member(cluster=authority.cluster, role=role, id="0123abcd")
    certificate = authority.issue(key.public_key(), member=member, names=names, now=SYSTEM() - issued)
    store.save_identity(Identity(key=key, chain=(certificate,)))
    store.save_authorities(((trusting or authority).certificate,))
    return store


@pytest.fixture
def authority():
    return new_authority()


@pytest.fixture
def here(tmp_path, authority):
    return new_store(tmp_path / "here", authority)


@pytest.fixture
def there(start, tmp_path, authority):
    """Serves with the certificate that the options of `new_store` describe; gives the port."""

    def served(by=authority, clock=SYSTEM, **options):
        return start(tls=new_store(tmp_path / "there", by, **options), clock=clock).serving.port

    return served


@contextmanager
def listening(answer=b""):
    """A server that reads a little, says `answer` and hangs up, for as long as the context lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_all():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(LONGEST_WAIT)
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve_all, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(LONGEST_WAIT)


@contextmanager
def openssl_server(store, *options):
    """`openssl s_server` with the certificate of `store`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    identity = store.identity_path
    words = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", identity, "-key", identity, "-www"]
    process = subprocess.Popen([*words, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        while b"ACCEPT" not in (line := process.stdout.readline()):
            assert line, "openssl s_server has ended"
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield port
    finally:
        process.kill()
        process.wait(LONGEST_WAIT)


def shifted(by):
    return lambda: SYSTEM() + by


def test_a_healthy_connection_says_until_when_it_will_be(here, there):
    found = diagnose("localhost", there(), here)
    assert found.cause == "healthy", found
    assert f"{here.identity().certificate.not_after:%Y-%m-%d}" in str(found)


def test_a_host_without_a_certificate_may_still_trust(tmp_path, authority, there):
    store = Store(tmp_path / "guest")
    store.save_authorities((authority.certificate,))
    assert "this host shows none" in str(diagnose("localhost", there(), store))


def test_nothing_listens(here):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = diagnose("127.0.0.1", port, here)
    assert (found.cause, f"port {port} of 127.0.0.1" in str(found)) == ("nothing-listens", True)


def test_an_unknown_host(here):
    assert diagnose("no-such-host.invalid", 8767, here).cause == "unknown-host"


def test_plain_http(here, start):
    found = diagnose("127.0.0.1", start(tls="off").serving.port, here)
    assert found.cause == "plain-http" and "`forgather tls enable`" in found.remedy


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-Something\r\n"])
def test_neither_tls_nor_http(here, answer):
    with listening(answer) as port:
        assert diagnose("127.0.0.1", port, here).cause == "not-tls"


def test_a_server_before_tls_1_3(here):
    with openssl_server(here, "-tls1_2") as port:
        found = diagnose("127.0.0.1", port, here)
    assert found.cause == "old-tls" and "TLS 1.3" in found.sentence


def test_another_implementation_is_healthy_too(here):
    with openssl_server(here) as port:
        assert diagnose("127.0.0.1", port, here).healthy


def test_the_certificate_of_the_server_has_run_out(here, there):
    found = diagnose("localhost", there(issued=timedelta(days=33)), here)
    assert found.cause == "expired" and "ran out 3 days ago" in found.sentence


def test_the_certificate_of_the_server_is_from_the_future(here, there):
    found = diagnose("localhost", there(issued=-timedelta(days=2)), here)
    assert found.cause == "not-yet-valid" and "in 2 days" in found.sentence


@pytest.mark.parametrize(("by", "how"), [(-1, "1 day behind"), (1, "1 day ahead of")])
def test_a_clock_off_by_a_day_is_named_before_the_certificates_it_spoils(here, there, by, how):
    found = diagnose("localhost", there(), here, shifted(timedelta(days=by)))
    assert found.cause == "clock" and how in found.sentence


def test_ten_minutes_between_clocks_are_named_too(here, there):
    assert diagnose("localhost", there(), here, shifted(timedelta(minutes=10))).cause == "clock"
    assert diagnose("localhost", there(), here, shifted(timedelta(minutes=2))).healthy


def test_an_authority_that_nobody_here_trusts(here, there):
    found = diagnose("localhost", there(new_authority("elsewhere")), here)
    assert found.cause == "unknown-authority"
    assert "'elsewhere'" in found.sentence and "'home'" in found.sentence


def test_an_authority_of_the_same_name_is_told_apart(here, there):
    found = diagnose("localhost", there(new_authority("home")), here)
    assert found.cause == "same-name" and "the key is not" in found.sentence


def test_an_authority_that_has_followed_ours(here, there, authority):
    found = diagnose("localhost", there(new_authority("home", cluster=authority.cluster)), here)
    assert found.cause == "other-key" and "`forgather tls renew`" in found.remedy


def test_no_authority_at_all(tmp_path, there):
    assert diagnose("localhost", there(), Store(tmp_path / "empty")).cause == "no-authority"


def test_a_name_that_the_certificate_does_not_have(here, there):
    found = diagnose("127.0.0.1", there(names=parse_names(["box.lan", "10.0.0.5"])), here)
    assert found.cause == "name"
    assert "box.lan, 10.0.0.5" in found.sentence and "--add-ip 127.0.0.1" in found.remedy


def test_a_certificate_outside_the_constraints_of_its_authority(tmp_path, authority, start):
    """Such a certificate needs an authority that ignores its own limits: the key of ours, with wider ones."""
    narrow = new_authority(constraints=Constraints(domains=("local",), networks=()))
    careless = Authority(certificate=new_authority().certificate, key=narrow.key)
    port = start(tls=new_store(tmp_path / "there", careless, trusting=narrow)).serving.port
    found = diagnose("localhost", port, new_store(tmp_path / "here", careless, trusting=narrow))
    assert found.cause == "constraints" and "localhost, 127.0.0.1" in found.sentence


@pytest.mark.parametrize(
    ("issued", "cause"), [(timedelta(days=31), "own-expired"), (-timedelta(days=1), "own-not-yet-valid")]
)
def test_our_own_dates(tmp_path, authority, there, issued, cause):
    found = diagnose("localhost", there(), new_store(tmp_path / "here", authority, issued=issued))
    assert found.cause == cause and "this host" in found.sentence


def test_our_certificate_is_of_another_authority(tmp_path, authority, there):
    """This host trusts the server, which does not trust this host: to the client the connection just ends."""
    store = new_store(tmp_path / "here", new_authority("elsewhere"), trusting=authority)
    found = diagnose("localhost", there(), store)
    assert found.cause == "own-foreign"
    assert "'elsewhere'" in found.sentence and "'home'" in found.sentence


async def healthy(_request):
    return JSONResponse({"status": "ok"})


@pytest.fixture
def members(tmp_path):
    """The host of an authority, and a member of another role that is in its books."""
    home = Store(tmp_path / "home")
    init(home)
    directory = tmp_path / "minted"
    mint(home, LOCAL, directory, role="submitter")
    member = Store(tmp_path / "member")
    install(member, *(directory / name for name in ("server.crt", "server.key", "ca.crt")))
    return home, member


def test_our_certificate_is_revoked_there(members, start):
    home, member = members
    port = start(tls=home).serving.port
    revoke(home, member.identity().certificate.member.id)
    found = diagnose("localhost", port, member)
    assert found.cause == "not-counted" and "revoked" in found.remedy


def test_revoked_as_this_host_knows_too(members, start):
    home, member = members
    revoke(home, member.identity().certificate.member.id)
    list_of_home = home.revoked_path.read_bytes()
    member.revoked_path.write_bytes(list_of_home)
    assert diagnose("localhost", start(tls=home).serving.port, member).cause == "own-revoked"
    assert diagnose("localhost", start(tls=member).serving.port, home).cause == "revoked"


def test_the_wrong_role_for_a_path(members, start):
    home, member = members
    access = AccessTable({("GET", "/health"): certificate("member")})
    port = start(routes=[Route("/health", healthy)], tls=home, access=access).serving.port
    found = diagnose("localhost", port, member, path="/health")
    assert found.cause == "role" and "'submitter'" in found.sentence
    assert diagnose("localhost", port, home, path="/health").healthy


def test_a_path_for_bearers_of_a_token(members, start):
    home, member = members
    access = AccessTable({("GET", "/health"): token("read")})
    port = start(routes=[Route("/health", healthy)], tls=home, access=access).serving.port
    for store in members:
        found = diagnose("localhost", port, store, path="/health")
        assert found.cause == "token" and "a token is needed there" in found.sentence
        assert "join" not in str(found)
    revoke(home, member.identity().certificate.member.id)
    assert diagnose("localhost", port, member, path="/health").cause == "not-counted"


def test_tls_is_disabled_on_this_host(here, start):
    port = start(tls="off").serving.port
    here.save_settings(enabled=False)
    found = diagnose("localhost", port, here)
    assert found.cause == "disabled" and "`forgather tls enable`" in found.remedy


def test_a_server_that_insists_on_a_certificate(tmp_path, authority, here):
    guest = Store(tmp_path / "guest")
    guest.save_authorities((authority.certificate,))
    with openssl_server(here, "-Verify", "1", "-verify_return_error", "-CAfile", here.directory / "trust.pem") as port:
        assert diagnose("127.0.0.1", port, guest).cause == "no-certificate"
        assert diagnose("127.0.0.1", port, here).healthy


def test_files_that_cannot_be_used_are_an_answer_too(here, there):
    (here.directory / "authorities.pem").write_text("nothing")
    found = diagnose("localhost", there(), here)
    assert found.cause == "files" and str(here.directory) in found.sentence


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("box.lan:8767", "box.lan", 8767, "/"),
        ("https://box.lan/v1/state", "box.lan", 443, "/v1/state"),
        ("[::1]:8767", "::1", 8767, "/"),
        ("https://10.0.0.5:1", "10.0.0.5", 1, "/"),
    ],
)
def test_servers_as_people_write_them(text, host, port, path):
    target = target_of(text)
    assert (target.host, target.port, target.path) == (host, port, path)


@pytest.mark.parametrize("text", ["", "box.lan", ":8767", "box.lan:http", "box.lan:70000", "two words:1", "--help:1"])
def test_what_is_no_server_is_refused(text):
    with pytest.raises(PeerError, match="write HOST:PORT"):
        target_of(text)
