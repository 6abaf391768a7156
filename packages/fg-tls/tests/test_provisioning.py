"""Giving a host its certificate, and what else is done to its TLS directory by hand."""

import ipaddress
import json
import socket
import subprocess
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from fg_tls import CertificateError, NotProvisionedError, Store, StoreError
from fg_tls.clock import SYSTEM
from fg_tls.host.provisioning import clean, export_authority, import_authority, init, install, mint, set_enabled, status
from fg_tls.host.this_host import names_of_this_host
from fg_tls.issuing.books import Books
from fg_tls.issuing.revoking import revoke
from fg_tls.pki.authority import Authority
from fg_tls.pki.keys import key_pem, new_key
from fg_tls.pki.names import Constraints, parse_names, private_constraints

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GIVEN = parse_names(["muthur.example.com", "203.0.113.9"])


def now():
    return NOW


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "tls")


@pytest.fixture
def home(store):
    """The directory of a host that has the authority."""
    init(store, names=GIVEN, name="Household")
    return store


def openssl_verifies(store, host):
    command = ["openssl", "verify", "-CAfile", store.trust_path, "-purpose", "sslserver", "-verify_hostname", host]
    done = subprocess.run([*command, store.identity_path], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0


# --- this host -------------------------------------------------------------------------------------------------------


def test_the_names_of_this_host_are_those_that_others_can_use():
    names = names_of_this_host()
    assert {"localhost", "127.0.0.1", "::1"} <= {*names.hostnames, *map(str, names.addresses)}
    assert f"{socket.gethostname().lower().split('.')[0]}.local" in names.hostnames
    assert len(names.addresses) <= 32
    assert not [each for each in names.addresses if each.version == 6 and each.is_link_local]
    cards = [entry.address for card in psutil.net_if_addrs().values() for entry in card]
    outward = [ipaddress.ip_address(each) for each in cards if each.count(".") == 3]
    assert {each for each in outward if not each.is_loopback} <= set(names.addresses) or len(names.addresses) == 32


def test_addresses_of_container_bridges_come_last(monkeypatch):
    def card(*addresses):
        kinds = {4: socket.AF_INET, 6: socket.AF_INET6}
        versions = [ipaddress.ip_address(each).version for each in addresses]
        return [type("Entry", (), {"family": kinds[v], "address": a}) for v, a in zip(versions, addresses, strict=True)]

    cards = {"docker0": card("172.17.0.1"), "br-1f": card("172.18.0.1"), "eth0": card("fe80::1%eth0", "10.0.0.5")}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: cards | {"lo": card("127.0.0.1")})
    expected = ["10.0.0.5", "172.17.0.1", "172.18.0.1", "127.0.0.1", "::1"]
    assert [str(each) for each in names_of_this_host().addresses] == expected
    assert [str(each) for each in names_of_this_host(bridges=False).addresses] == ["10.0.0.5", "127.0.0.1", "::1"]
    cards["eth1"] = card(*(f"10.1.0.{each}" for each in range(99)))
    assert len(names_of_this_host().addresses) == 32
    assert names_of_this_host().addresses[-2:] == names_of_this_host(bridges=False).addresses[-2:]


# --- init ------------------------------------------------------------------------------------------------------------


def test_init_makes_a_certificate_that_openssl_verifies_under_every_name(home):
    names = home.identity().certificate.names
    assert {"muthur.example.com", "localhost"} <= set(names.hostnames)
    assert {"203.0.113.9", "127.0.0.1", "::1"} <= set(map(str, names.addresses))
    assert all(openssl_verifies(home, host) for host in names.hostnames)
    assert not openssl_verifies(home, "example.com")
    assert home.authority().certificate.common_name == "Household"


def test_init_limits_the_authority_to_private_names_and_those_given(home):
    constraints = home.authority().constraints
    assert constraints.permits(parse_names(["www.muthur.example.com", "203.0.113.9"]))
    assert not constraints.permits(parse_names(["example.com", "203.0.113.10", "8.8.8.8", "2001:db8::1"]))


def test_init_writes_down_what_later_steps_need(home):
    assert (home.provisioned, home.enabled, home.settings().names) == (True, True, GIVEN)
    assert home.settings().issuers[0] == "https://muthur.example.com:8767"
    assert "https://203.0.113.9:8767" in home.settings().issuers
    (member,) = Books(home).members()
    assert member.id == home.identity().certificate.member.id
    assert [each.serial for each in member.issued] == [home.identity().certificate.serial]


def test_a_second_init_refuses_and_changes_nothing(home):
    before = home.identity().certificate
    with pytest.raises(StoreError, match=r"renew --add-hostname NAME.*init --force"):
        init(home)
    assert home.identity().certificate == before


def test_what_a_second_init_advises_can_work(home):
    """The limits of an authority are part of it, so that `renew` adds no name outside."""
    with pytest.raises(
        StoreError, match=r"may not vouch for new\.example\.org, 8\.8\.8\.8; run `forgather tls init --fo"
    ):
        init(home, names=parse_names(["new.example.org", "new.lan", "8.8.8.8"]))
    with pytest.raises(StoreError, match=r"renew --add-hostname NAME"):
        init(home, names=parse_names(["new.lan"]))


def test_force_begins_anew_and_keeps_a_copy_of_everything(home):
    home.write("revoked-not.txt", b"a file of the user")
    before = {path.relative_to(home.directory): path.read_bytes() for path in files_of(home.directory)}
    modes = {path.relative_to(home.directory): path.stat().st_mode for path in files_of(home.directory)}
    old, said = home.authority(), []
    init(home, force=True, clock=now, say=said.append)
    copy = home.directory.with_name("tls.backup-20260301-000000")
    assert said[0] == f"The directory as it was is kept as {copy}."
    assert "join again with `forgather tls join --force`" in said[1]
    assert {path.relative_to(copy): path.read_bytes() for path in files_of(copy)} == before
    assert {path.relative_to(copy): path.stat().st_mode for path in files_of(copy)} == modes
    assert home.authorities() == (home.authority().certificate,) != (old.certificate,)
    assert home.identity().certificate.issued_by(home.authority().certificate)
    assert [each.id for each in Books(home).members()] == [home.identity().certificate.member.id]
    assert Store(copy).identity().certificate.issued_by(old.certificate)


def test_force_makes_good_what_is_damaged_and_keeps_a_copy_of_that_too(home):
    home.authority_path.write_bytes(b"damaged")
    home.identity_path.write_bytes(b"damaged")
    (home.directory / "ca" / "books.json").write_bytes(b"damaged")
    init(home, force=True, clock=now)
    assert status(home, now).warnings == ()
    copy = home.directory.with_name("tls.backup-20260301-000000")
    assert (copy / "identity.pem").read_bytes() == b"damaged"


def test_force_on_a_host_that_has_nothing_keeps_no_copy_of_nothing(store, tmp_path):
    init(store, force=True, say=lambda line: pytest.fail(line))
    assert [path.name for path in tmp_path.iterdir()] == ["tls"]


def test_force_changes_nothing_when_no_copy_can_be_kept(home):
    home.directory.with_name("tls.backup-20260301-000000").mkdir()
    before = {path: path.read_bytes() for path in files_of(home.directory)}
    long = home.directory / "ca" / ("x" * 250)  # a temporary file beside its copy would have too long a name
    long.touch()
    with pytest.raises(StoreError, match=r"cannot keep a copy of .*: File name too long; nothing was changed"):
        init(home, force=True, clock=now)
    long.unlink()
    assert {path: path.read_bytes() for path in files_of(home.directory)} == before
    init(home, force=True, clock=now)
    copies = sorted(path.name for path in home.directory.parent.iterdir())
    assert len(copies) == 3 and not [each for each in copies if each.startswith(".")]


def files_of(directory):
    return [path for path in directory.rglob("*") if path.is_file() and path.suffix != ".lock" and path.name != ".lock"]


def test_a_host_that_belongs_to_another_cluster_does_not_become_an_authority_by_mistake(home, tmp_path):
    mint(home, parse_names(["wopr.lan"]), tmp_path / "wopr")
    member = Store(tmp_path / "member")
    install(member, *minted(tmp_path / "wopr"))
    with pytest.raises(
        StoreError, match=r"belongs to the cluster of 'Household'; a second authority would split trust"
    ):
        init(member)
    init(member, force=True)
    assert member.identity().certificate.cluster != home.authority().cluster


def test_an_authority_that_an_interrupted_init_left_is_used(store, home):
    left, members = home.authority().certificate, Books(home).members()
    home.write("revoked.crl", b"")
    home.identity_path.unlink()
    assert init(home, names=GIVEN).certificate.issued_by(left)
    assert set(members) < set(Books(home).members())  # nobody is forgotten
    assert home.revoked_path.exists()
    home.identity_path.unlink()
    with pytest.raises(StoreError, match=r"may not vouch for bank\.com; run `forgather tls init --force`"):
        init(home, names=parse_names(["bank.com"]))


# --- mint and install ------------------------------------------------------------------------------------------------


def minted(directory):
    return directory / "server.crt", directory / "server.key", directory / "ca.crt"


def test_what_is_minted_can_be_installed_elsewhere_and_is_in_the_books(home, tmp_path):
    certificate = mint(home, parse_names(["wopr.lan", "10.0.0.9"]), tmp_path / "wopr", role="submitter")
    assert [(tmp_path / "wopr" / name).stat().st_mode & 0o777 for name in ("", "server.key")] == [0o700, 0o600]
    other = Store(tmp_path / "other")
    install(other, *minted(tmp_path / "wopr"))
    assert other.identity().certificate == certificate
    assert other.identity().certificate.member.role == "submitter"
    assert other.authorities() == home.authorities()
    assert openssl_verifies(other, "wopr.lan")
    assert Books(home).member(certificate.member.id).names == parse_names(["wopr.lan", "10.0.0.9"])
    assert status(other).authority_here is False


def test_mint_overwrites_nothing_and_asks_for_names(home, tmp_path):
    (tmp_path / "server.key").write_text("precious")
    with pytest.raises(StoreError, match=r"server\.key exists, and keys are not overwritten"):
        mint(home, parse_names(["wopr.lan"]), tmp_path)
    assert (tmp_path / "server.key").read_text() == "precious"
    with pytest.raises(StoreError, match="needs a name; give --hostname or --ip"):
        mint(home, parse_names([]), tmp_path / "new")
    with pytest.raises(CertificateError, match=r"may not vouch for bank\.com"):
        mint(home, parse_names(["bank.com"]), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_mint_without_a_place_for_the_files_makes_no_member(home, tmp_path):
    (tmp_path / "file").touch()
    before = Books(home).members()
    with pytest.raises(StoreError, match=f"cannot write to {tmp_path}/file: File exists"):
        mint(home, parse_names(["wopr.lan"]), tmp_path / "file")
    assert Books(home).members() == before


def test_mint_leaves_the_mode_of_a_directory_that_is_there(home, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    mint(home, parse_names(["wopr.lan"]), shared)
    assert [each.stat().st_mode & 0o777 for each in (shared, shared / "server.key")] == [0o755, 0o600]


def made_elsewhere(directory, *options):
    """A self-signed certificate of OpenSSL's, and its RSA key."""
    directory.mkdir(exist_ok=True)
    cert, key = directory / "cert.pem", directory / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=box", "-days", "9"]
    subprocess.run([*made, "-keyout", key, "-out", cert, *options], check=True, capture_output=True, timeout=60)
    key.chmod(0o600)
    return cert, key


NAMED = ("-addext", "subjectAltName=DNS:box.example.com", "-addext", "basicConstraints=critical,CA:FALSE")


def test_a_certificate_of_another_authority_is_shown_by_servers_besides_our_own(home, tmp_path):
    cert, key = made_elsewhere(tmp_path / "elsewhere", *NAMED)
    own = home.identity().certificate
    install(home, cert, key)
    found = home.material()
    assert found.certificate_file == home.directory / "installed.pem"
    assert found.certificate_file.stat().st_mode & 0o777 == 0o600
    assert status(home).names == ("box.example.com",)
    assert (home.identity().certificate, home.client_material().certificate_file) == (own, home.identity_path)


def test_what_cannot_be_installed_is_one_sentence_and_changes_nothing(home, tmp_path):
    mint(home, parse_names(["wopr.lan"]), tmp_path / "wopr")
    cert, key, authority = minted(tmp_path / "wopr")
    before = {path: path.read_bytes() for path in files_of(home.directory)}
    strange = tmp_path / "strange.key"
    strange.touch(0o600)
    strange.write_bytes(key_pem(new_key()))
    foreign = tmp_path / "foreign.crt"
    foreign.write_bytes(Authority.create("Foreign", private_constraints(), now=SYSTEM()).certificate.pem)
    nameless = made_elsewhere(tmp_path / "nameless", "-addext", "basicConstraints=critical,CA:FALSE")
    client = made_elsewhere(tmp_path / "client", *NAMED, "-addext", "extendedKeyUsage=clientAuth")
    late = SYSTEM() + timedelta(days=40)
    for given, clock, reason in (
        ((cert, strange, authority), SYSTEM, "does not belong to its certificate"),
        ((authority, strange), SYSTEM, "does not belong to its certificate"),
        ((cert, key, foreign), SYSTEM, "was issued by 'Household', and not by 'Foreign'"),
        ((cert, key, cert), SYSTEM, "is not the certificate of an authority but of 'member"),
        ((cert, key, authority), lambda: late, "ran out on"),
        (nameless, SYSTEM, "has no names"),
        (client, SYSTEM, "is not for servers"),
        ((key, key), SYSTEM, "holds no readable PEM certificate"),
        ((cert, tmp_path / "gone"), SYSTEM, "cannot read .*gone: No such file"),
    ):
        with pytest.raises((CertificateError, StoreError), match=reason):
            install(home, *given, clock=clock)
        assert {path: path.read_bytes() for path in files_of(home.directory)} == before, reason


def test_a_key_that_everybody_can_read_is_not_installed(home, tmp_path):
    cert, key = made_elsewhere(tmp_path / "elsewhere", *NAMED)
    key.chmod(0o644)
    with pytest.raises(StoreError, match=f"run: chmod 600 {key}"):
        install(home, cert, key)


# --- authorities of others -------------------------------------------------------------------------------------------


def test_an_authority_goes_from_one_host_to_another_as_a_file(home, store, tmp_path):
    exported = tmp_path / "household.crt"
    exported.write_bytes(export_authority(home))
    friend = Store(tmp_path / "friend")
    imported = import_authority(friend, exported)
    assert friend.authorities() == (imported,) == (home.authority().certificate,)
    assert friend.trust_path.read_bytes() == exported.read_bytes()
    import_authority(friend, exported)
    assert [path.name for path in friend.imported_authorities()] == ["household.crt"]
    with pytest.raises(NotProvisionedError, match="no authority in"):
        export_authority(friend)


def test_what_cannot_be_imported_is_one_sentence(home, tmp_path):
    path = tmp_path / "x.pem"
    other = Authority.create("Household", private_constraints(), now=SYSTEM())
    home.write("trusted/household.crt", other.certificate.pem)
    leaf, authority = home.identity().certificate, home.authority().certificate
    for data, reason in (
        (b"hello", "holds no readable PEM certificate"),
        (leaf.pem, "take that of 'Household', which has issued it"),
        (authority.pem + leaf.pem, "holds 2 certificates; import authorities one by one"),
        (authority.pem, r"trusted/household\.crt is another authority; give --name"),
    ):
        path.write_bytes(data)
        with pytest.raises((CertificateError, StoreError), match=reason):
            import_authority(home, path)
    with pytest.raises(CertificateError, match="holds from"):
        import_authority(home, path, name="x", clock=lambda: SYSTEM() - timedelta(days=1))
    with pytest.raises(StoreError, match="cannot be the name of a file"):
        import_authority(home, path, name="../..")
    assert [each.name for each in home.imported_authorities()] == ["household.crt"]


def test_an_authority_is_not_imported_to_where_nobody_looks_for_it(home, tmp_path):
    other = tmp_path / "x.pem"
    other.write_bytes(Authority.create("Other", private_constraints(), now=SYSTEM()).certificate.pem)
    (home.directory / "config.yaml").write_text("trusted_dir: elsewhere\n")
    with pytest.raises(StoreError, match=rf"has authorities in {home.directory}/elsewhere; copy {other} there"):
        import_authority(home, other)
    own, own_key = made_elsewhere(tmp_path / "authority", "-addext", "keyUsage=critical,keyCertSign")
    cert, key = made_elsewhere(tmp_path / "elsewhere", *NAMED, "-CA", own, "-CAkey", own_key)
    with pytest.raises(StoreError, match=rf"copy {own} there"):
        install(home, cert, key, own)
    assert not (home.directory / "installed.pem").exists()
    (home.directory / "config.yaml").write_text("trusted_dir: trusted\n")
    assert import_authority(home, other) in home.authorities()
    install(home, cert, key, own)
    assert [each.name for each in home.imported_authorities()] == ["installed.crt", "other.crt"]


def test_a_name_for_an_imported_authority_stays_within_its_directory(home, tmp_path):
    path = tmp_path / "x.pem"
    path.write_bytes(Authority.create("Other", private_constraints(), now=SYSTEM()).certificate.pem)
    import_authority(home, path, name="../../My Office")
    assert [each.name for each in home.imported_authorities()] == ["my-office.crt"]


def test_names_that_stand_in_config_yaml_already_are_kept(store):
    store.write("config.yaml", b"hostnames: [box.lan]\nsan: {hostnames: [old.example.org], ips: [10.9.9.9]}\n")
    certificate = init(store, names=parse_names(["new.lan"])).certificate
    assert {"new.lan", "box.lan", "old.example.org", "10.9.9.9"} <= set(str(certificate.names).split(", "))
    assert status(store).warnings == ()


# --- status, enable, clean -------------------------------------------------------------------------------------------


def test_status_of_a_healthy_host_has_no_warnings_and_is_json(home):
    found = status(home)
    assert found.warnings == ()
    certificate = home.identity().certificate
    assert (found.cluster, found.member, found.role) == (certificate.cluster, certificate.member.id, "member")
    assert found.not_before < found.renew_at < found.not_after
    assert (found.provisioned, found.enabled, found.authority_here, found.brought) == (True, True, True, False)
    written = json.loads(json.dumps(found.to_json()))
    assert datetime.fromisoformat(written["not_after"]) == certificate.not_after
    assert written["authorities"][0]["constrained"] is True


def test_status_without_a_certificate_is_empty(store):
    found = status(store)
    assert (found.provisioned, found.names, found.warnings, found.not_after) == (False, (), (), None)


def test_status_warns_of_what_somebody_has_to_do(home):
    set_enabled(home, False)
    home.save_settings(hostnames=["muthur.example.com", "new.lan"])
    home.write_state(last_failure="no issuer answers")
    home.write("config.yaml", (home.directory / "config.yaml").read_bytes() + b"validity_days: 825\n")
    disabled, failed, missing, outdated = status(home).warnings
    assert disabled == "TLS is disabled, so servers stay on loopback; run `forgather tls enable`"
    assert failed == "the last renewal failed: no issuer answers"
    assert missing == "the certificate does not name new.lan; run `forgather tls renew`"
    assert outdated.startswith("validity_days in config.yaml means nothing now and can be removed: certificates hold")
    late = status(home, lambda: SYSTEM() + timedelta(days=31)).warnings
    assert any("ran out on" in each and "forgather tls renew" in each for each in late)
    early = status(home, lambda: SYSTEM() - timedelta(days=1)).warnings
    assert any("set the clock of this host" in each for each in early)


def test_status_of_a_minted_certificate_says_in_time_that_it_does_not_renew_itself(home, tmp_path):
    mint(home, parse_names(["wopr.lan"]), tmp_path / "wopr")
    other = Store(tmp_path / "other")
    install(other, *minted(tmp_path / "wopr"))
    assert (status(other).warnings, status(other).renew_at) == ((), None)
    (warning,) = status(other, lambda: SYSTEM() + timedelta(days=23)).warnings
    assert "does not renew itself; join with `forgather tls join`, or install another one" in warning


def test_status_notices_a_certificate_of_another_cluster(home, tmp_path):
    other = Store(tmp_path / "other")
    init(other, name="Elsewhere")
    home.identity_path.write_bytes(other.identity_path.read_bytes())
    assert any(
        "issued by 'Elsewhere', which is not among the authorities here" in each for each in status(home).warnings
    )


def test_status_says_that_a_host_was_revoked(home, tmp_path):
    mint(home, parse_names(["wopr.lan"]), tmp_path / "wopr")
    member = Store(tmp_path / "member")
    install(member, *minted(tmp_path / "wopr"))
    assert status(member).warnings == ()
    revoke(home, "wopr.lan")
    member.write("revoked.crl", home.revoked_path.read_bytes())
    (warning,) = status(member).warnings
    assert warning.startswith("the certificate is revoked") and "forgather tls join --force" in warning
    assert (status(member).revoked, status(member).renew_at) == (True, None)


def test_status_tells_limited_authorities_from_others(home, tmp_path):
    cert, _ = made_elsewhere(tmp_path / "elsewhere", "-addext", "keyUsage=critical,keyCertSign")
    import_authority(home, cert, name="unlimited")
    limits = Constraints(domains=("lan",), networks=(ipaddress.ip_network("10.0.0.0/8"),))
    cert.write_bytes(Authority.create("Limited", limits, now=SYSTEM()).certificate.pem)
    import_authority(home, cert)
    assert {each.name: each.constrained for each in status(home).imported} == {"box": False, "Limited": True}


def test_enabling_needs_a_certificate_and_keeps_the_comments(store, home, tmp_path):
    with pytest.raises(
        NotProvisionedError, match="`forgather tls init` on the first host, `forgather tls join` on the"
    ):
        set_enabled(Store(tmp_path / "none"), True)
    before = (home.directory / "config.yaml").read_text()
    set_enabled(home, False)
    assert not home.enabled
    set_enabled(home, True)
    assert (home.directory / "config.yaml").read_text() == before


def test_clean_removes_our_files_and_no_others(home, tmp_path):
    home.write("notes.txt", b"mine")
    home.write("trusted/friend.crt", home.authority().certificate.pem)
    (home.directory / "trusted" / "directory.crt").mkdir()
    (home.directory / "trusted" / "link.crt").symlink_to(tmp_path)
    for lock in (".keeper.lock", ".upkeep.lock", "ca/rotation.lock"):
        (home.directory / lock).touch()
    assert clean(home) == (home.directory / "notes.txt",)
    (home.directory / "trusted" / "directory.crt").rmdir()
    (home.directory / "trusted").rmdir()
    assert [path.name for path in home.directory.rglob("*")] == ["notes.txt"]
    (home.directory / "notes.txt").unlink()
    assert clean(home) == ()
    assert not home.directory.exists()
    assert clean(home) == ()
