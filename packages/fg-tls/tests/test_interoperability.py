"""Programs of others against a served application: they trust our authority, and hold it to its limits."""

import os
import queue
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fg_tls import PUBLIC, AccessTable, Names, Store, TokenStore, certificate, read_token, serve, token
from fg_tls.host.store import Identity
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import parse_names, private_constraints

LONGEST_WAIT = 60
ACCESS = AccessTable({("GET", "/health"): PUBLIC, ("GET", "/items"): token(), ("GET", "/peers"): certificate("member")})
UNLIMITED = parse_names(["bank.example"])


async def answer(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path})


def program(name: str) -> str:
    """Where a program is; tests that need one that is missing are skipped, but not in continuous integration."""
    found = shutil.which(name)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing; .ci/run installs it")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str, **options) -> subprocess.CompletedProcess[str]:
    command = (program(command[0]), *command[1:])
    return subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_WAIT, check=False, **options)


def provision(directory, names: Names, *, real: Authority, signer: Authority) -> Store:
    """A host that trusts `real`, with a certificate that `signer` has made."""
    store, key = Store(directory), new_key()
    member = Member(cluster=real.cluster, role="member", id="aaaa-1")
    leaf = signer.issue(key.public_key(), member=member, names=names, now=datetime.now(UTC))
    store.save_identity(Identity(key=key, chain=(leaf,)))
    store.save_authorities((real.certificate,))
    return store


@contextmanager
def running(store: Store):
    started = queue.Queue()
    routes = [Route(path, answer) for path in ("/health", "/items", "/peers")]
    options = {"service": "test", "port": 0, "access": ACCESS, "tokens": TokenStore(), "tls": store}
    thread = threading.Thread(target=serve, args=(Starlette(routes=routes),), kwargs=options | {"ready": started.put})
    thread.start()
    serving = started.get(timeout=LONGEST_WAIT)
    try:
        yield serving
    finally:
        serving.stop()
        thread.join(LONGEST_WAIT)
        assert not thread.is_alive()


@pytest.fixture
def authority():
    return Authority.create("Forgather test", private_constraints(), now=datetime.now(UTC))


@pytest.fixture
def store(tmp_path, authority):
    names = parse_names(["localhost", "box.local", "127.0.0.1"])
    return provision(tmp_path / "tls", names, real=authority, signer=authority)


@pytest.fixture
def serving(store):
    with running(store) as serving:
        yield serving


@pytest.fixture
def stolen(tmp_path, authority):
    """A server for bank.example, with a certificate signed by the authority's key beyond the authority's limits."""
    wide = Authority.create("Forgather test", private_constraints(UNLIMITED), now=datetime.now(UTC))
    thief = Authority(certificate=wide.certificate, key=authority.key)
    names = UNLIMITED | parse_names(["localhost"])
    with running(provision(tmp_path / "stolen", names, real=authority, signer=thief)) as serving:
        yield serving


@pytest.fixture
def trust(store):
    return str(store.directory / "trust.pem")


def bearer(serving) -> dict[str, str]:
    return {"Authorization": f"Bearer {read_token(serving.token_file)}"}


def url(serving, path: str = "/health", host: str = "localhost") -> str:
    return f"https://{host}:{serving.port}{path}"


def curl(serving, *options: str, path: str = "/health", host: str = "localhost"):
    resolve = ("--resolve", f"{host}:{serving.port}:127.0.0.1")
    return run("curl", "--silent", "--show-error", "--noproxy", "*", *resolve, *options, url(serving, path, host))


@pytest.mark.parametrize("host", ["localhost", "box.local", "127.0.0.1"])
def test_curl_is_served_under_each_name(serving, trust, host):
    asked = curl(serving, "--cacert", trust, host=host)
    assert (asked.returncode, asked.stdout) == (0, '{"path":"/health"}')


def test_curl_calls_as_a_member_with_its_certificate(serving, store, trust):
    asked = curl(serving, "--cacert", trust, "--cert", str(store.identity_path), path="/peers")
    assert (asked.returncode, asked.stdout) == (0, '{"path":"/peers"}')


def test_curl_calls_with_a_token_from_a_file(serving, trust, tmp_path):
    header = tmp_path / "header"
    header.write_text(f"Authorization: {bearer(serving)['Authorization']}\n")
    asked = curl(serving, "--cacert", trust, "--header", f"@{header}", path="/items")
    assert (asked.returncode, asked.stdout) == (0, '{"path":"/items"}')


def test_curl_refuses_without_our_authority(serving):
    assert curl(serving).returncode == 60


def test_curl_holds_the_authority_to_its_limits(stolen, trust):
    for host in ("bank.example", "localhost"):
        assert curl(stolen, "--cacert", trust, host=host).returncode == 60


def s_client(serving, trust: str, host: str):
    options = ["-verify_return_error", "-verify_hostname", host, "-servername", host, "-brief", "-CAfile", trust]
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{serving.port}", *options, stdin=subprocess.DEVNULL)


def test_openssl_verifies_the_chain_and_speaks_tls_1_3(serving, trust):
    asked = s_client(serving, trust, "box.local")
    assert asked.returncode == 0
    assert "Protocol version: TLSv1.3" in asked.stderr
    assert "Verification: OK" in asked.stderr


def test_openssl_refuses_another_name(serving, trust):
    assert "hostname mismatch" in s_client(serving, trust, "other.local").stderr.lower()


def test_openssl_holds_the_authority_to_its_limits(stolen, trust):
    asked = s_client(stolen, trust, "bank.example")
    assert asked.returncode != 0
    assert "permitted subtree violation" in asked.stderr


def test_wget_is_served(serving, trust):
    asked = run("wget", "--quiet", "--no-proxy", f"--ca-certificate={trust}", "--output-document=-", url(serving))
    assert (asked.returncode, asked.stdout) == (0, '{"path":"/health"}')


def test_requests_is_served_with_a_token_and_with_a_certificate(serving, store, trust):
    with requests.Session() as session:
        session.trust_env, session.verify = False, trust
        assert session.get(url(serving, "/items"), headers=bearer(serving), timeout=LONGEST_WAIT).status_code == 200
        assert session.get(url(serving, "/peers"), timeout=LONGEST_WAIT).status_code == 401
        member = session.get(url(serving, "/peers"), cert=str(store.identity_path), timeout=LONGEST_WAIT)
        assert member.json() == {"path": "/peers"}


def test_requests_holds_the_authority_to_its_limits(stolen, trust):
    with requests.Session() as session, pytest.raises(requests.exceptions.SSLError, match="permitted subtree"):
        session.trust_env = False
        session.get(url(stolen), verify=trust, timeout=LONGEST_WAIT)


def test_httpx_is_served_with_a_token_and_with_a_certificate(serving, store, trust):
    context = ssl.create_default_context(cafile=trust)
    context.load_cert_chain(store.identity_path)
    with httpx.Client(verify=context, trust_env=False, timeout=LONGEST_WAIT) as client:
        assert client.get(url(serving, "/items"), headers=bearer(serving)).status_code == 200
        assert client.get(url(serving, "/peers")).json() == {"path": "/peers"}


def test_httpx_holds_the_authority_to_its_limits(stolen, trust):
    context = ssl.create_default_context(cafile=trust)
    with httpx.Client(verify=context, trust_env=False) as client, pytest.raises(httpx.ConnectError, match="permitted"):
        client.get(url(stolen))


@pytest.fixture
def browser(tmp_path, trust):
    """Chromium with the authority in the trust store of a scratch user."""
    home = tmp_path / "home"
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for options in (["-N", "--empty-password"], ["-A", "-n", "forgather", "-t", "C,,", "-i", trust]):
        assert run("certutil", "-d", f"sql:{database}", *options).returncode == 0

    def fetch(address: str) -> str:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server", "--dump-dom"]
        resolve = "--host-resolver-rules=MAP *.local 127.0.0.1,MAP bank.example 127.0.0.1"
        profile = f"--user-data-dir={home / 'profile'}"
        return run("chromium", *flags, resolve, profile, address, env=os.environ | {"HOME": str(home)}).stdout

    return fetch


@pytest.mark.parametrize("host", ["localhost", "box.local"])
def test_chromium_shows_the_page_under_each_name(serving, browser, host):
    assert '{"path":"/health"}' in browser(url(serving, host=host))


@pytest.mark.parametrize("host", ["localhost", "bank.example"])
def test_chromium_holds_the_authority_to_its_limits(stolen, browser, host):
    assert '{"path":"/health"}' not in browser(url(stolen, host=host))


def test_chromium_refuses_without_our_authority(serving, browser, tmp_path):
    database = f"sql:{tmp_path / 'home' / '.pki' / 'nssdb'}"
    assert run("certutil", "-d", database, "-D", "-n", "forgather").returncode == 0
    assert '{"path":"/health"}' not in browser(url(serving))


def test_node_is_served(serving, trust):
    script = "require('https').get(process.argv[1], r => r.pipe(process.stdout))"
    if shutil.which("node") is None:
        pytest.skip("node is not installed; nothing else of ours needs it")
    asked = run("node", "-e", script, url(serving), env=os.environ | {"NODE_EXTRA_CA_CERTS": trust})
    assert (asked.returncode, asked.stdout) == (0, '{"path":"/health"}')
