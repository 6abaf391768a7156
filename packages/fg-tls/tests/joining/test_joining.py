import http.client
import json
import os
import shutil
import socket
import threading
from datetime import timedelta

import pytest

from fg_tls import JoinError, PeerError, PortInUseError, Store, StoreError
from fg_tls.clock import SYSTEM
from fg_tls.host.status import status
from fg_tls.host.this_host import names_of_this_host
from fg_tls.issuing.join_messages import LARGEST_MESSAGE
from fg_tls.issuing.join_token import JoinToken
from fg_tls.issuing.running import issuing, running_issuer
from fg_tls.membership.joining import join
from fg_tls.membership.renewal import renew
from fg_tls.pki.contexts import client_context
from fg_tls.pki.names import parse_names

from .hosts import LONGEST_WAIT, join_request, killed_at_change, new_issuer, served
from .impostor import impostor

NAMES = parse_names(["wopr.lan"])
NEVER = "127.0.0.1:1"  # nothing listens on tcpmux


@pytest.fixture
def wopr(tmp_path):
    return Store(tmp_path / "wopr" / "tls")


@pytest.fixture
def token(issuer, running):
    return issuer.create_token(endpoints=[running.endpoint])


def ask(running, store, path="/v1/state?wait=0"):
    """The status of a request with the certificate of `store`."""
    context = client_context(store.material())
    connection = http.client.HTTPSConnection("127.0.0.1", running.serving.port, context=context, timeout=LONGEST_WAIT)
    connection.request("GET", path)
    return connection.getresponse().status


# --- the way it should be --------------------------------------------------------------------------------------------


def test_a_host_joins_and_is_known_by_its_certificate(issuer, running, token, wopr):
    said = []
    identity = join(wopr, JoinToken.decode(token.encode()), names=NAMES, progress=said.append)
    member = issuer.books.member(identity.certificate.member.id)
    assert member.hostname == socket.gethostname()
    assert wopr.identity().certificate == identity.certificate
    assert wopr.cluster_authorities() == issuer.store.cluster_authorities()
    assert wopr.settings().issuers == issuer.store.settings().issuers
    assert ask(running, wopr) == 200
    assert said[0] == f"asking {running.endpoint} for its authority"


def test_the_key_is_private_from_its_creation_whatever_the_umask(token, wopr):
    before = os.umask(0)
    try:
        join(wopr, token, names=NAMES)
    finally:
        os.umask(before)
    assert wopr.directory.stat().st_mode & 0o777 == 0o700
    assert wopr.identity_path.stat().st_mode & 0o777 == 0o600


def test_the_key_is_on_its_host_only(issuer, token, wopr):
    join(wopr, token, names=NAMES)
    private = wopr.identity_path.read_bytes().split(b"-----")[2].strip()
    files = [path for path in issuer.store.directory.rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert not any(private in path.read_bytes() for path in files)


def test_the_next_endpoint_is_asked_when_one_is_silent(issuer, running, wopr):
    token = issuer.create_token(endpoints=[NEVER, running.endpoint])
    assert join(wopr, token, names=NAMES).certificate.names


def test_without_names_a_host_asks_for_its_own_and_those_of_its_settings(issuer, token, wopr):
    wopr.save_settings(hostnames=["joshua.lan"])
    own = issuer.store.identity().certificate  # of the same machine, and so with the same names
    issuer.books.revoke(own.member.id, now=SYSTEM())
    certificate = join(wopr, token).certificate
    assert {"joshua.lan", *issuer.store.authority().constraints.permits(names_of_this_host()).hostnames} <= set(
        certificate.names.hostnames
    )
    assert "joshua.lan" in wopr.settings().names


def test_names_that_were_given_stay_and_those_of_the_host_follow_it(token, wopr):
    join(wopr, token, names=parse_names(["wopr.lan", "10.9.9.9"]))
    for own in ("here.lan", "there.lan"):
        names = renew(wopr, names=parse_names([own])).certificate.names
        assert set(str(names).split(", ")) == {"wopr.lan", "10.9.9.9", own, "localhost", "127.0.0.1", "::1"}


def test_a_name_that_the_authority_declines_is_not_kept_and_status_has_nothing_to_add(token, wopr):
    certificate = join(wopr, token, names=parse_names(["wopr.lan", "bank.example", "192.0.2.7"])).certificate
    assert set(str(certificate.names).split(", ")) == {"localhost", "wopr.lan", "127.0.0.1", "::1"}
    assert wopr.settings().names == NAMES
    assert status(wopr).warnings == ()  # about the names of this host neither: others were given for it


def test_a_name_in_the_settings_that_the_authority_declines_has_to_go(token, wopr):
    join(wopr, token, names=NAMES)
    wopr.save_settings(hostnames=["bank.example"])
    assert status(wopr).warnings == ("the certificate does not name bank.example; run `forgather tls renew`",)
    renew(wopr, names=names_of_this_host())
    (warning,) = status(wopr).warnings
    assert warning.startswith("the authority did not agree to bank.example; take that out of config.yaml")


def test_a_host_that_joined_under_its_own_names_is_renamed_when_it_renews(issuer, token, wopr):
    issuer.books.revoke(issuer.store.identity().certificate.member.id, now=SYSTEM())  # which has the same names
    join(wopr, token)
    assert set(renew(wopr, names=parse_names(["new.lan"])).certificate.names.hostnames) == {"new.lan", "localhost"}


# --- one membership --------------------------------------------------------------------------------------------------


def test_a_member_does_not_join_again_by_accident(issuer, running, token, wopr):
    first = join(wopr, token, names=NAMES)
    second = issuer.create_token(endpoints=[running.endpoint])
    with pytest.raises(JoinError, match=r"belongs to the cluster .* already"):
        join(wopr, second, names=NAMES)
    assert wopr.identity().certificate == first.certificate
    assert issuer.books.read().tokens[second.id].used is None


def test_force_keeps_what_was_there(tmp_path, issuer, running, wopr):
    other = new_issuer(wopr.directory)
    other.store.save_settings(hostnames=["joshua.lan"])
    token = issuer.create_token(endpoints=[running.endpoint])
    with pytest.raises(JoinError, match="an authority of its own"):
        join(wopr, token, names=NAMES)
    authority = other.store.authority_path.read_bytes()
    join(wopr, token, names=NAMES, force=True)
    (backup,) = wopr.directory.parent.glob("tls.backup-*")
    assert (backup / "ca" / "authority.pem").read_bytes() == authority
    assert not wopr.authority_path.exists()
    assert wopr.identity().certificate.cluster == issuer.store.authority().cluster
    assert "joshua.lan" in wopr.settings().names
    assert ask(running, wopr) == 200


def test_force_has_nothing_to_keep_on_a_fresh_host(token, wopr):
    wopr.save_settings(hostnames=["joshua.lan"])
    join(wopr, token, names=NAMES, force=True)
    assert list(wopr.directory.parent.iterdir()) == [wopr.directory]
    assert "joshua.lan" in wopr.settings().names


def test_the_issuer_that_answered_is_remembered_when_none_is_named(issuer, running, token, wopr):
    issuer.store.save_settings(issuers=[])
    join(wopr, token, names=NAMES)
    assert wopr.settings().issuers == (f"https://{running.endpoint}",)


def test_a_join_that_is_refused_changes_nothing_even_with_force(issuer, running, wopr):
    new_issuer(wopr.directory)
    before = {path: path.read_bytes() for path in wopr.directory.rglob("*") if path.is_file()}
    token = issuer.create_token(endpoints=[running.endpoint])
    with pytest.raises(JoinError, match=r"muthur\.lan belongs to member"):
        join(wopr, token, names=parse_names(["muthur.lan"]), force=True)
    assert {path: path.read_bytes() for path in wopr.directory.rglob("*") if path.is_file()} == before
    assert list(wopr.directory.parent.iterdir()) == [wopr.directory]


def test_a_host_that_could_not_keep_the_answer_does_not_use_the_token_up(tmp_path, issuer, token):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write to .*file/tls: Not a directory"):
        join(Store(tmp_path / "file" / "tls"), token, names=NAMES)
    assert issuer.books.read().tokens[token.id].used is None
    assert join(Store(tmp_path / "elsewhere"), token, names=NAMES).certificate.names


def test_of_hosts_that_join_with_one_token_one_does(tmp_path, issuer, token):
    stores = [Store(tmp_path / f"host{number}") for number in range(4)]
    refusals, together = [], threading.Barrier(4)

    def attempt(store):
        together.wait(LONGEST_WAIT)
        try:
            join(store, token, names=parse_names([f"{store.directory.name}.lan"]))
        except JoinError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=attempt, args=(store,)) for store in stores]
    for each in threads:
        each.start()
    for each in threads:
        each.join(LONGEST_WAIT)
    assert [store.provisioned for store in stores].count(True) == 1
    assert sum("it was used on" in each for each in refusals) == 3
    assert len(issuer.books.members()) == 2


# --- somebody in between ---------------------------------------------------------------------------------------------


def announcement(issuer, **changes):
    return 200, json.dumps(issuer.announcement() | changes).encode()


def test_another_authority_is_sent_nothing(tmp_path, issuer, wopr):
    foreign = new_issuer(tmp_path / "foreign")
    with impostor(foreign.store.identity_path, {"/v1/ca": announcement(foreign)}) as found:
        token = issuer.create_token(endpoints=[found.endpoint])
        with pytest.raises(JoinError, match="shows another authority than the token names, so nothing was sent"):
            join(wopr, token, names=NAMES)
        assert found.paths == ["/v1/ca"]
    assert not wopr.directory.exists()


def test_one_who_shows_our_authority_without_its_certificate_is_sent_nothing(tmp_path, issuer, wopr):
    foreign = new_issuer(tmp_path / "foreign")
    with impostor(foreign.store.identity_path, {"/v1/ca": announcement(issuer)}) as found:
        token = issuer.create_token(endpoints=[found.endpoint])
        with pytest.raises(PeerError, match="has no certificate of the authority that the token names"):
            join(wopr, token, names=NAMES)
        assert found.paths == ["/v1/ca"]
    assert not wopr.directory.exists()


def test_a_member_in_place_of_the_issuer_cannot_answer(tmp_path, issuer, running, token, wopr):
    """It has a certificate of the right authority, and has even seen an answer; it does not know the secret."""
    rogue = Store(tmp_path / "rogue")
    join(rogue, token, names=parse_names(["rogue.lan"]))
    _, seen = issuer.join(join_request(issuer.create_token(endpoints=[running.endpoint]), ["seen.lan"]))
    answers = {"/v1/ca": announcement(issuer), "/v1/join": (200, json.dumps(seen).encode())}
    with impostor(rogue.identity_path, answers) as found:
        with pytest.raises(JoinError, match="not by somebody who knows the token"):
            join(wopr, issuer.create_token(endpoints=[found.endpoint]), names=NAMES)
        assert found.paths == ["/v1/ca", "/v1/join"]
    assert not wopr.directory.exists()


@pytest.mark.parametrize("field", ["certificate", "authorities", "revoked", "issuers", "mac"])
def test_an_answer_that_was_changed_on_the_way_is_not_taken(issuer, wopr, field):
    """Even the issuer's own certificate does not help somebody who relays."""

    def relayed(body):
        answer = issuer.join(body)[1]
        value = answer[field]
        answer[field] = [*value, "https://evil.lan:8767"] if isinstance(value, list) else value + " "
        return 200, json.dumps(answer).encode()

    answers = {"/v1/ca": announcement(issuer), "/v1/join": relayed}
    with (
        impostor(issuer.store.identity_path, answers) as found,
        pytest.raises(JoinError, match="not by somebody who knows the token"),
    ):
        join(wopr, issuer.create_token(endpoints=[found.endpoint]), names=NAMES)
    assert not wopr.directory.exists()


def test_a_relay_that_changes_nothing_does_no_harm(issuer, wopr):
    answers = {
        "/v1/ca": announcement(issuer),
        "/v1/join": lambda body: (200, json.dumps(issuer.join(body)[1]).encode()),
    }
    with impostor(issuer.store.identity_path, answers) as found:
        join(wopr, issuer.create_token(endpoints=[found.endpoint]), names=NAMES)
    assert wopr.provisioned


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((404, b"{}"), "HTTP status 404"),
        ((200, b"hello"), "something else than JSON"),
        ((200, b"{}"), "no issuer of this version"),
        ((200, b'{"authorities": 7, "time": "now"}'), "no issuer of this version"),
        ((200, b'"' + b"x" * 2_000_000 + b'"'), "more than 1,048,576 bytes"),
        (None, "cannot reach"),
    ],
)
def test_other_servers_are_no_issuers(issuer, wopr, answer, sentence):
    with impostor(issuer.store.identity_path, {"/v1/ca": answer}) as found, pytest.raises(PeerError, match=sentence):
        join(wopr, issuer.create_token(endpoints=[found.endpoint]), names=NAMES)
    assert not wopr.directory.exists()


def test_a_connection_that_breaks_after_the_request_may_have_cost_the_token(issuer, wopr):
    answers = {"/v1/ca": announcement(issuer), "/v1/join": None}
    with (
        impostor(issuer.store.identity_path, answers) as found,
        pytest.raises(JoinError, match="so the token may be used up; make a new one"),
    ):
        join(wopr, issuer.create_token(endpoints=[found.endpoint]), names=NAMES)
    assert not wopr.directory.exists()


def test_a_refusal_cannot_write_to_the_terminal(issuer, wopr):
    refusal = json.dumps({"error": {"message": "no\x1b[2J\r\nway"}}).encode()
    answers = {"/v1/ca": announcement(issuer), "/v1/join": (403, refusal)}
    with impostor(issuer.store.identity_path, answers) as found, pytest.raises(JoinError, match=r"refused: no\[2Jway$"):
        join(wopr, issuer.create_token(endpoints=[found.endpoint]), names=NAMES)


def test_nobody_listens(issuer, wopr):
    with pytest.raises(PeerError, match=r"127\.0\.0\.1:1: nothing listens there; run `forgather tls serve`"):
        join(wopr, issuer.create_token(endpoints=[NEVER]), names=NAMES)


@pytest.mark.parametrize("off", [timedelta(days=1), timedelta(days=-1), timedelta(minutes=6), timedelta(minutes=-6)])
def test_a_wrong_clock_is_named_before_it_costs_the_token(issuer, token, wopr, off):
    with pytest.raises(JoinError, match=r"the clock of this host says .* set the wrong one"):
        join(wopr, token, names=NAMES, clock=lambda: SYSTEM() + off)
    assert issuer.books.read().tokens[token.id].used is None
    join(wopr, token, names=NAMES, clock=lambda: SYSTEM() + off / abs(off) * timedelta(minutes=4))


# --- the issuer over the wire ----------------------------------------------------------------------------------------


def connection(running, issuer):
    context = client_context(issuer.store.client_material())
    return http.client.HTTPSConnection("127.0.0.1", running.serving.port, context=context, timeout=LONGEST_WAIT)


@pytest.mark.parametrize("extra", [0, 1, LARGEST_MESSAGE])
def test_large_messages_are_refused_and_the_issuer_goes_on(issuer, running, token, wopr, extra):
    opened = connection(running, issuer)
    opened.request("POST", "/v1/join", b"x" * (LARGEST_MESSAGE + 1 + extra))
    answer = opened.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["message"]) == (
        403,
        "the message is larger than 65,536 bytes",
    )
    join(wopr, token, names=NAMES)


def test_a_refusal_reaches_the_joining_host_in_words(issuer, running, wopr):
    token = issuer.create_token(endpoints=[running.endpoint], lifetime=timedelta())
    with pytest.raises(JoinError, match=f"{running.endpoint} refused: the join token does not hold: it ran out on"):
        join(wopr, token, names=NAMES)


def test_broken_books_are_no_ones_business_elsewhere(issuer, running, token, wopr):
    issuer.books.path.write_text("{")
    with pytest.raises(JoinError, match="cannot read or write its own files; its log says why") as raised:
        join(wopr, token, names=NAMES)
    assert str(issuer.store.directory) not in str(raised.value)


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/renew"), ("GET", "/v1/state")])
def test_members_only(issuer, running, method, path):
    context = client_context(issuer.store.client_material())
    anonymous = client_context(type(issuer.store.client_material())(authorities=issuer.store.authorities()))
    for each, admitted in ((context, True), (anonymous, False)):
        opened = http.client.HTTPSConnection("127.0.0.1", running.serving.port, context=each, timeout=LONGEST_WAIT)
        opened.request(method, f"{path}?wait=0", b"{}" if method == "POST" else None)
        assert (opened.getresponse().status != 401) is admitted


# --- running the issuer ----------------------------------------------------------------------------------------------


def test_an_issuer_for_one_token_ends_when_it_is_used(issuer, wopr):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = issuer.create_token(endpoints=[f"127.0.0.1:{port}"])
    with served(issuer.store, port=port, until=token) as running:
        assert running_issuer().port == port
        join(wopr, token, names=NAMES)
        running.wait()
    assert running_issuer() is None


def test_an_issuer_for_one_token_ends_when_it_has_run_out(issuer):
    token = issuer.create_token(endpoints=[NEVER], lifetime=timedelta(milliseconds=50))
    with served(issuer.store, until=token) as running:
        running.wait()


def test_a_command_has_an_issuer_while_it_needs_one(issuer, wopr):
    with issuing(issuer.store, host="127.0.0.1", port=0) as endpoints:
        join(wopr, issuer.create_token(endpoints=endpoints), names=NAMES)
    assert running_issuer() is None


def test_hosts_join_where_servers_show_a_certificate_of_another_authority(tmp_path, issuer, wopr):
    foreign = new_issuer(tmp_path / "foreign")
    issuer.store.save_settings(server_cert=str(foreign.store.identity_path))
    with served(issuer.store) as running:
        join(wopr, issuer.create_token(endpoints=[running.endpoint]), names=NAMES)
        assert ask(running, wopr) == 200


def test_a_command_uses_the_issuer_that_runs(issuer, running):
    with issuing(issuer.store, host="127.0.0.1", port=0) as endpoints:
        assert endpoints == (running.endpoint,)
    assert running_issuer() is not None


def test_a_port_in_use_is_said_at_once(issuer):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port}"), issuing(issuer.store, host="127.0.0.1", port=port):
            pytest.fail("it has no issuer")


# --- crashes ---------------------------------------------------------------------------------------------------------

PREPARE = """
from pathlib import Path
from fg_tls import Store
from fg_tls.issuing.join_token import JoinToken
from fg_tls.membership.joining import join
from fg_tls.pki.names import parse_names
from fg_tls.host.this_host import names_of_this_host
def run(directory, token, name):
    join(Store(Path(directory)), JoinToken.decode(token), names=parse_names([name]))
"""


def test_killed_at_any_change_of_a_file_a_host_has_joined_or_has_not(tmp_path, issuer, running):
    killed = 0
    for number in range(50):
        store = Store(tmp_path / "crashes" / str(number) / "tls")
        token = issuer.create_token(endpoints=[running.endpoint]).encode()
        program = (PREPARE, "run(directory, sys.argv[3], sys.argv[4])")
        status = killed_at_change(number, store.directory, program, token, f"host{number}.lan")
        if store.provisioned:
            assert ask(running, store) == 200
            assert store.settings().issuers == issuer.store.settings().issuers
        else:
            again = issuer.create_token(endpoints=[running.endpoint])
            join(store, again, names=parse_names([f"again{number}.lan"]))
            assert ask(running, store) == 200
        shutil.rmtree(store.directory)
        killed += status != 0
        if status == 0:
            break
    assert killed >= 8, f"it was killed at {killed} changes only"
    assert status == 0
