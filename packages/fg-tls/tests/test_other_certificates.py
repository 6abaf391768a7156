"""Certificates that servers show in place of our own: brought by another program, or left by Forgather 1.x."""

import shutil
import ssl
import subprocess
from contextlib import suppress

import pytest

from fg_tls import CertificateError, Store, StoreError
from fg_tls.clock import SYSTEM
from fg_tls.host import settings as config
from fg_tls.host.provisioning import init
from fg_tls.host.store import Identity
from fg_tls.pki import keys
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member, read_pem
from fg_tls.pki.contexts import server_context
from fg_tls.pki.names import parse_names, private_constraints

OLD, FRIEND = (Authority.create(name, private_constraints(), now=SYSTEM()) for name in ("Old", "Friend"))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "tls")


@pytest.fixture
def filled(store):
    init(store)
    return store


def write_config(store, text):
    store.directory.mkdir(exist_ok=True, mode=0o700)
    (store.directory / "config.yaml").write_text(text)


def rsa_pair(directory):
    """A self-signed RSA certificate in two files, as another program would make it."""
    cert, key = directory / "fullchain.pem", directory / "privkey.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=box", "-days", "9"]
    made += ["-addext", "subjectAltName=DNS:box.example.com", "-keyout", key, "-out", cert]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    key.chmod(0o600)
    return cert, key


# --- certificates that something else renews -------------------------------------------------------------------------


def test_a_certificate_that_was_brought_is_shown_by_servers_and_not_by_clients(filled, tmp_path):
    cert, key = rsa_pair(tmp_path)
    write_config(filled, f"server_cert: {cert}\nserver_key: {key}\n")
    found = filled.material()
    assert (found.certificate_file, found.key_file) == (cert, key)
    assert filled.client_material().certificate_file == filled.identity_path
    key.chmod(0o644)
    with pytest.raises(StoreError, match=f"chmod 600 {key}"):
        filled.material()


def test_links_that_change_their_target_are_followed(store, tmp_path):
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        rsa_pair(tmp_path / number)
    (tmp_path / "live").symlink_to("1")
    write_config(store, f"server_cert: {tmp_path}/live/fullchain.pem\nserver_key: {tmp_path}/live/privkey.pem\n")
    before = store.stamp()
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").rename(tmp_path / "live")
    assert store.stamp() != before
    shutil.copy(tmp_path / "1" / "privkey.pem", tmp_path / "2" / "privkey.pem")
    with pytest.raises(CertificateError, match="does not belong to its certificate"):
        store.material()


def test_a_file_that_was_brought_and_is_gone_is_named(store):
    write_config(store, "server_cert: gone.pem\n")
    with pytest.raises(StoreError, match=r"cannot read .*gone\.pem: No such file"):
        store.material()


def test_a_running_server_shows_a_certificate_that_was_renewed_in_place(store, tmp_path):
    cert, key = rsa_pair(tmp_path)
    write_config(store, f"server_cert: {cert}\nserver_key: {key}\n")
    context = server_context(store)
    first = shown_by(context)
    assert first == read_pem(cert.read_bytes(), "x")[0].der
    rsa_pair(tmp_path)
    assert shown_by(context) == read_pem(cert.read_bytes(), "x")[0].der != first
    cert.write_bytes(b"half a fi")
    assert shown_by(context) != first


def shown_by(context) -> bytes:
    """The certificate that a server with this context shows, after a whole handshake in memory."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client.getpeercert(binary_form=True)


# --- directories of Forgather 1.x ------------------------------------------------------------------------------------


@pytest.fixture
def old(store):
    """A directory of Forgather 1.x, in which nothing of this version stands."""
    (store.directory / "ca").mkdir(parents=True)
    (store.directory / "trusted").mkdir()
    cert, key = rsa_pair(store.directory)
    cert.rename(store.directory / "server.crt")
    key.rename(store.directory / "server.key")
    (store.directory / "ca" / "ca.crt").write_bytes(OLD.certificate.pem)
    (store.directory / "trusted" / "friend.crt").write_bytes(FRIEND.certificate.pem)
    store.directory.chmod(0o700)
    return store


OLD_CONFIG = """\
enabled: true
auto_on_non_loopback: true
ca_cert: {0}/ca/ca.crt
ca_key: {0}/ca/ca.key
ca_serial: {0}/ca/ca.srl
server_cert: {0}/server.crt
server_key: {0}/server.key
ca_bundle: {0}/ca-bundle.crt
trusted_dir: {0}/trusted
san:
  hostnames: [muthur]
  ips: [10.0.0.5]
validity_days: 825
ca_validity_days: 3650
"""


@pytest.mark.parametrize("text", [OLD_CONFIG, "enabled: true\n", ""])
def test_a_directory_of_forgather_1_keeps_serving(old, text):
    write_config(old, text.format(old.directory))
    found = old.material()
    assert (found.certificate_file, found.key_file) == (old.directory / "server.crt", old.directory / "server.key")
    assert set(found.authorities) == {OLD.certificate, FRIEND.certificate}


def test_keys_that_mean_nothing_now_are_listed_and_the_others_taken_over(old):
    write_config(old, OLD_CONFIG.format(old.directory))
    found = old.settings()
    assert found.outdated == tuple(sorted(config.OUTDATED))
    assert found.names == parse_names(["muthur", "10.0.0.5"])


def test_a_certificate_of_this_version_takes_the_place_of_the_old_one(old):
    write_config(old, OLD_CONFIG.format(old.directory))
    init(old)
    assert old.material().certificate_file == old.identity_path
    assert OLD.certificate not in old.authorities()
    assert read_pem(old.trust_path.read_bytes(), "trust.pem") == list(old.authorities())


def test_other_programs_trust_whom_a_host_trusts_that_has_joined_over_an_old_directory(old):
    """A join saves the authorities first, while the old one still counts."""
    new = Authority.create("New", private_constraints(), now=SYSTEM())
    key = keys.new_key()
    member = Member(cluster=new.cluster, role="member", id="1f2e")
    leaf = new.issue(key.public_key(), member=member, names=parse_names(["box.lan"]), now=SYSTEM())
    old.save_authorities((new.certificate,))
    old.save_identity(Identity(key=key, chain=(leaf,)))
    assert read_pem(old.trust_path.read_bytes(), "trust.pem") == [new.certificate, FRIEND.certificate]
