import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from fg_tls import CertificateError, JoinError
from fg_tls.issuing.book_entries import MOST_WRONG_MACS
from fg_tls.issuing.issuer import TOKEN_LIFETIME, Issuer
from fg_tls.issuing.join_messages import answer_mac
from fg_tls.issuing.join_token import JoinToken
from fg_tls.pki import keys
from fg_tls.pki.certificates import key_hash, read_pem
from fg_tls.pki.names import as_address, parse_names
from fg_tls.pki.signing_requests import signing_request

from .hosts import LONGEST_WAIT, join_request, killed_at_change, new_issuer

LOOPBACK = "localhost, 127.0.0.1, ::1"
NOW = datetime.now(UTC)


def joined(issuer, token, names=("wopr.lan",), *, came_from=None, **options):
    """The certificate that comes of a request."""
    _, answer = issuer.join(join_request(token, names, **options), as_address(came_from) if came_from else None)
    return read_pem(answer["certificate"].encode(), "the answer")[0]


def names_of(certificate):
    return set(str(certificate.names).split(", ")) - set(LOOPBACK.split(", "))


def csr_of(key, algorithm):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def unused(issuer, token):
    return issuer.books.read().tokens[token.id].used is None


# --- what a member gets ----------------------------------------------------------------------------------------------


def test_the_certificate_is_for_the_key_of_the_request_and_a_month(issuer, token):
    key = keys.new_key()
    certificate = joined(issuer, token, csr=signing_request(key))
    assert certificate.key_hash == key_hash(key.public_key())
    assert certificate.not_after - certificate.not_before == timedelta(days=30, minutes=5)
    assert certificate.member.role == "member"
    assert certificate.cluster == issuer.store.authority().cluster
    entry = issuer.books.member(certificate.member.id)
    assert (entry.hostname, entry.names) == ("wopr", certificate.names)
    assert [each.serial for each in entry.issued] == [certificate.serial]


def test_openssl_accepts_the_certificate(issuer, token, tmp_path):
    authority, leaf = tmp_path / "authority.pem", tmp_path / "leaf.pem"
    authority.write_bytes(issuer.store.authority().certificate.pem)
    leaf.write_bytes(joined(issuer, token, ["wopr.lan", "10.0.0.9"]).pem)
    command = ["openssl", "verify", "-x509_strict", "-CAfile", str(authority)]
    for check in (["-verify_hostname", "wopr.lan"], ["-verify_ip", "10.0.0.9"], ["-purpose", "sslclient"]):
        run = subprocess.run([*command, *check, str(leaf)], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr


def test_the_answer_proves_that_the_issuer_knows_the_secret(issuer, token):
    body = join_request(token)
    token_id, answer = issuer.join(body)
    mac = answer.pop("mac")
    assert token_id == token.id
    assert mac == answer_mac(token.secret, json.loads(body)["mac"], answer)
    assert mac != answer_mac(b"another secret..", json.loads(body)["mac"], answer)
    assert mac != answer_mac(token.secret, "another request", answer)


def test_the_secret_is_neither_sent_nor_kept(issuer, token):
    spellings = [token.secret.hex(), token.encode()[-40:-8]]
    body = join_request(token).decode()
    assert token.secret.hex() in issuer.books.path.read_text()
    issuer.join(body.encode())
    assert not any(each in body or each in issuer.books.path.read_text() for each in spellings)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "came_from", "granted"),
    [
        (["wopr.lan", "wopr.local"], None, {"wopr.lan", "wopr.local"}),
        (["WOPR.lan"], None, {"wopr.lan"}),
        (["10.0.0.9", "fd00::9"], None, {"10.0.0.9", "fd00::9"}),
        ([], None, set()),
        ([], "10.0.0.9", {"10.0.0.9"}),
        ([], "::ffff:10.0.0.9", {"10.0.0.9"}),
        ([], "fe80::9%eth0", {"fe80::9"}),
        ([], "8.8.8.8", set()),
        (["www.example.org", "8.8.8.8", "wopr.lan"], None, {"wopr.lan"}),
        (["xlocal", "local.example.org"], None, set()),
        (["192.168.7.1"], None, set()),  # the issuer's
    ],
)
def test_names_are_wishes(issuer, token, wanted, came_from, granted):
    certificate = joined(issuer, token, wanted, came_from=came_from)
    assert names_of(certificate) == granted
    assert set(LOOPBACK.split(", ")) <= set(str(certificate.names).split(", "))


def test_a_submitter_gets_no_names_of_the_network(issuer):
    token = issuer.create_token(endpoints=["192.168.7.1:8767"], role="submitter")
    certificate = joined(issuer, token, ["wopr.lan", "10.0.0.9"], came_from="10.0.0.9")
    assert certificate.member.role == "submitter"
    assert str(certificate.names) == LOOPBACK


def test_the_address_that_a_host_calls_from_is_its_own_now(issuer):
    """Also where the one that had it yesterday has not said that it has another one."""
    tokens = [issuer.create_token(endpoints=["192.168.7.1:8767"]) for _ in range(2)]
    joined(issuer, tokens[0], ["wopr.lan", "10.0.0.9"])
    assert names_of(joined(issuer, tokens[1], ["joshua.lan"], came_from="10.0.0.9")) == {"joshua.lan", "10.0.0.9"}


@pytest.mark.parametrize("origin", ["192.168.7.1", "::ffff:192.168.7.1"])
def test_who_calls_through_the_host_of_the_issuer_does_not_get_its_address(issuer, token, origin):
    """A container on it, or a tunnel to it."""
    certificate = joined(issuer, token, ["wopr.lan", "192.168.7.1"], came_from=origin)
    assert names_of(certificate) == {"wopr.lan"}
    key = keys.new_key().public_key()
    wanted = parse_names(["wopr.lan", "192.168.7.1"])
    renewed = issuer.issue(key, member=certificate.member, wanted=wanted, came_from=as_address(origin))
    assert names_of(renewed) == {"wopr.lan"}


def test_names_that_a_person_has_set_stand_in_for_wishes(issuer):
    bound = parse_names(["joshua.lan", "10.0.0.5"])
    token = issuer.create_token(endpoints=["192.168.7.1:8767"], names=bound)
    assert names_of(joined(issuer, token, ["wopr.lan", "10.0.0.9"], came_from="10.0.0.7")) == {
        "joshua.lan",
        "10.0.0.5",
        "10.0.0.7",
    }


def test_names_that_a_person_has_set_stay_when_a_member_asks_for_others(issuer):
    bound = parse_names(["joshua.lan", "10.0.0.5"])
    for role in ("member", "submitter"):
        token = issuer.create_token(endpoints=["192.168.7.1:8767"], role=role, names=bound)
        member = joined(issuer, token).member
        key = keys.new_key().public_key()
        renewed = issuer.issue(key, member=member, wanted=parse_names(["wopr.lan", "10.0.0.9", "joshua.lan"]))
        assert (names_of(renewed), renewed.member) == ({"joshua.lan", "10.0.0.5"}, member)
        assert issuer.books.member(member.id).issued[-1].serial == renewed.serial
        issuer.books.revoke(member.id, now=NOW)
        with pytest.raises(JoinError, match="was revoked on"):
            issuer.issue(key, member=member, wanted=bound)


def test_a_token_is_not_made_for_names_that_the_authority_may_not_vouch_for(issuer):
    with pytest.raises(CertificateError, match=r"www\.example\.org"):
        issuer.create_token(endpoints=["192.168.7.1:8767"], names=parse_names(["www.example.org"]))


def test_nobody_becomes_the_host_of_the_authority(issuer, token):
    with pytest.raises(JoinError, match=r"the name muthur\.lan belongs to member"):
        joined(issuer, token, ["muthur.lan"])
    assert unused(issuer, token)
    assert names_of(joined(issuer, token, ["wopr.lan"])) == {"wopr.lan"}


def test_a_name_is_free_again_when_its_member_is_revoked(issuer):
    first, second = (issuer.create_token(endpoints=["192.168.7.1:8767"]) for _ in range(2))
    holder = joined(issuer, first, ["wopr.lan", "10.0.0.9"]).member.id
    with pytest.raises(JoinError, match=f"forgather tls revoke {holder}"):
        joined(issuer, second, ["wopr.lan"])
    issuer.books.revoke(holder, now=NOW)
    assert names_of(joined(issuer, second, ["wopr.lan", "10.0.0.9"])) == {"wopr.lan", "10.0.0.9"}


def test_a_member_keeps_its_own_names(issuer, token):
    member = joined(issuer, token, ["wopr.lan"]).member
    wanted = parse_names(["wopr.lan", "joshua.lan"])
    assert names_of(issuer.issue(keys.new_key().public_key(), member=member, wanted=wanted)) == {
        "wopr.lan",
        "joshua.lan",
    }


# --- what is refused, and changes nothing ----------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["id", "csr", "names", "hostname", "mac"])
def test_the_mac_covers_everything(issuer, token, field):
    fields = json.loads(join_request(token))
    other = json.loads(join_request(issuer.create_token(endpoints=["192.168.7.1:8767"]), ["other.lan"], hostname="x"))
    with pytest.raises(JoinError, match="wrong secret"):
        issuer.join(json.dumps(fields | {field: other[field]}).encode())
    assert len(issuer.books.members()) == 1


def test_a_request_is_for_one_authority(issuer, token):
    with pytest.raises(JoinError, match="wrong secret"):
        issuer.join(join_request(token, authority="ab" * 32))


def test_a_request_counts_once(issuer, token):
    body = join_request(token)
    issuer.join(body)
    for again in (body, join_request(token, ["other.lan"])):
        with pytest.raises(JoinError, match="it was used on"):
            issuer.join(again)
    assert len(issuer.books.members()) == 2


def test_a_token_runs_out(tmp_path):
    now = NOW
    issuer = new_issuer(tmp_path / "muthur", clock=lambda: now)
    token = issuer.create_token(endpoints=["192.168.7.1:8767"])
    now = NOW + TOKEN_LIFETIME - timedelta(seconds=1)
    joined(issuer, issuer.create_token(endpoints=["192.168.7.1:8767"]))
    now = NOW + TOKEN_LIFETIME
    with pytest.raises(JoinError, match="it ran out on"):
        joined(issuer, token)


def test_guessing_ends_the_token(issuer, token):
    guess = JoinToken(authority=token.authority, endpoints=token.endpoints, id=token.id, secret=b"x" * 16)
    for _ in range(MOST_WRONG_MACS):
        with pytest.raises(JoinError, match="wrong secret"):
            issuer.join(join_request(guess))
    with pytest.raises(JoinError, match=f"tried {MOST_WRONG_MACS} times with a wrong secret"):
        issuer.join(join_request(token))
    assert issuer.books.read().tokens[token.id].secret == b""
    joined(issuer, issuer.create_token(endpoints=token.endpoints))  # others are unharmed


def test_a_token_that_was_never_handed_out_is_refused(issuer):
    stranger = JoinToken.create(authority=issuer.pinned().key_hash, endpoints=["192.168.7.1:8767"])
    with pytest.raises(JoinError, match="nobody here handed it out"):
        issuer.join(join_request(stranger))


KEY = keys.new_key()
WRONG_REQUESTS = {
    "RSA": lambda: csr_of(rsa.generate_private_key(65537, 2048), hashes.SHA256()),
    "P-384": lambda: csr_of(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
    "signed by another key": lambda: _resigned(csr_of(KEY, hashes.SHA256())),
    "nothing": lambda: "",
    "no request": lambda: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
}


def _resigned(pem):
    """The request with one bit of its signature turned."""
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("kind", WRONG_REQUESTS)
def test_only_requests_for_p256_keys_that_sign_them_are_signed(issuer, token, kind):
    with pytest.raises(CertificateError, match="certificate signing request"):
        issuer.join(join_request(token, csr=WRONG_REQUESTS[kind]()))
    assert unused(issuer, token)


def test_a_request_that_wants_to_be_an_authority_makes_a_plain_member(issuer, token):
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "muthur.lan")])
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("muthur.lan")]), critical=False)
    csr = builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    certificate = joined(issuer, token, ["wopr.lan"], csr=csr)
    assert not certificate.is_authority
    assert names_of(certificate) == {"wopr.lan"}
    assert certificate.common_name == f"member {certificate.member.id}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        b'{"id": 7, "csr": "", "names": [], "hostname": "", "mac": ""}',
        b'{"id": "", "csr": "", "names": "wopr.lan", "hostname": "", "mac": ""}',
        b'{"id": "", "csr": "", "names": [7], "hostname": "", "mac": ""}',
        json.dumps({"id": "", "csr": "", "names": ["a"] * 65, "hostname": "", "mac": ""}).encode(),
        json.dumps({"id": "", "csr": "", "names": [], "hostname": "\x1b[2J", "mac": ""}).encode(),
        json.dumps({"id": "", "csr": "", "names": ["a" * 254], "hostname": "", "mac": ""}).encode(),
    ],
)
def test_malformed_requests_are_refused(issuer, body):
    with pytest.raises(JoinError):
        issuer.join(body)


# --- one token, one member -------------------------------------------------------------------------------------------


def test_of_threads_that_join_with_one_token_one_does(issuer, token):
    results, together = [], threading.Barrier(8)

    def attempt(number):
        body = join_request(token, [f"host{number}.lan"])
        together.wait(LONGEST_WAIT)
        try:
            results.append(Issuer(issuer.store).join(body)[0])
        except JoinError as error:
            results.append(str(error))

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(LONGEST_WAIT)
    assert results.count(token.id) == 1
    assert sum("it was used on" in each for each in results) == 7
    assert len(issuer.books.members()) == 2


PREPARE = """
from pathlib import Path
from fg_tls import JoinError, Store
from fg_tls.issuing.issuer import Issuer
def join(directory, body):
    try:
        Issuer(Store(Path(directory))).join(Path(body).read_bytes())
    except JoinError as error:
        print(error)
"""


def test_of_processes_that_join_with_one_token_one_does(issuer, token, tmp_path):
    bodies = [tmp_path / f"{number}.json" for number in range(3)]
    for number, path in enumerate(bodies):
        path.write_bytes(join_request(token, [f"host{number}.lan"]))
    script = f"{PREPARE}\nimport sys; join(*sys.argv[1:])"
    command = [sys.executable, "-c", script, str(issuer.store.directory)]
    running = [subprocess.Popen([*command, str(path)], stdout=subprocess.PIPE, text=True) for path in bodies]
    said = [each.communicate(timeout=LONGEST_WAIT)[0] for each in running]
    assert [each.returncode for each in running] == [0, 0, 0]
    assert said.count("") == 1
    assert sum("it was used on" in each for each in said) == 2
    assert len(issuer.books.members()) == 2


def test_killed_at_any_change_of_a_file_a_token_makes_one_member_or_none(issuer, token, tmp_path):
    body = tmp_path / "body.json"
    body.write_bytes(join_request(token))
    killed = 0
    for number in range(50):
        status = killed_at_change(number, issuer.store.directory, (PREPARE, "join(directory, sys.argv[3])"), body)
        used = not unused(issuer, token)
        assert len(issuer.books.members()) == 1 + used
        killed += status != 0
        if status == 0 or used:
            break
    assert killed >= 3, "it was never killed at the writes"
    assert used
