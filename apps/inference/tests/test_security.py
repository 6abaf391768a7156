"""The server over TLS, and what it lets nobody do: the conformance suite that every listener must pass."""

import os
import socket
import ssl
import subprocess
from pathlib import Path

import openai
import pytest

from fg_inference import ACCESS, ChatFormat, Engine, create_app
from fg_tls import Store, read_token
from fg_tls.clock import SYSTEM
from fg_tls.host.provisioning import import_authority, init
from fg_tls.pki.names import parse_names
from fg_tls.testing import Listener, conformance_cases, run_case

WAIT = 120
ROUTES = 5
GREEDY = ["--completion", "Hello", "--temperature", "0", "--max-tokens", "8", "--ignore-eos"]


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory):
    """The environment of a host with a certificate."""
    directory = tmp_path_factory.mktemp("config")
    init(Store(directory / "tls"), names=parse_names(["localhost", "127.0.0.1"]), clock=SYSTEM)
    return os.environ | {"FORGATHER_CONFIG_DIR": str(directory), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def on_the_network(model_directory, provisioned, server):
    with server(provisioned, "-m", model_directory, "-H", "0.0.0.0") as lines:
        yield lines


def test_on_every_address_with_tls_the_printed_line_works(on_the_network, provisioned):
    assert on_the_network["url"].startswith("https://") and "0.0.0.0" not in on_the_network["url"]
    line = on_the_network["try"]
    assert "--cacert" in line and "--insecure" not in line and " -k " not in line
    done = subprocess.run(["bash", "-c", line], env=provisioned, capture_output=True, text=True, timeout=WAIT)
    assert '"object":"chat.completion"' in done.stdout, done.stderr
    assert Path(on_the_network["token"]).read_text().strip() not in str(on_the_network)


def test_our_client_finds_url_and_token_of_the_server_on_this_machine(on_the_network, provisioned, run):
    code, named, err = run(provisioned, "client", "--url", on_the_network["url"], *GREEDY)
    assert code == 0, err
    assert run(provisioned, "client", *GREEDY) == (0, named, "")
    assert run(provisioned, "client", "--health") == (0, "ok\n", "")


def test_the_official_client_with_our_authority(on_the_network, provisioned):
    trust = ssl.create_default_context(cafile=Path(provisioned["FORGATHER_CONFIG_DIR"]) / "tls" / "trust.pem")
    key = read_token(Path(on_the_network["token"]))
    http = openai.DefaultHttpxClient(verify=trust, trust_env=False)
    ask = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 24, "temperature": 0}
    with openai.OpenAI(base_url=on_the_network["url"], api_key=key, http_client=http) as client:
        assert [model.id for model in client.models.list()] == ["tiny"]
        whole = client.chat.completions.create(**ask).choices[0].message.content
        streamed = [
            piece.choices[0].delta.content or "" for piece in client.chat.completions.create(**ask, stream=True)
        ]
    assert "".join(streamed) == whole != ""
    assert len(streamed) > 2


def test_the_official_client_without_our_authority_sends_nothing(on_the_network):
    http = openai.DefaultHttpxClient(trust_env=False)
    options = {"base_url": on_the_network["url"], "api_key": "x" * 64, "http_client": http, "max_retries": 0}
    with openai.OpenAI(**options) as client, pytest.raises(openai.APIConnectionError) as caught:
        client.models.list()
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value.__cause__)


def test_our_client_on_another_host_needs_the_authority_and_the_token(on_the_network, provisioned, tmp_path, run):
    """It shares no directory with the server: what it has was brought there."""
    elsewhere = Store(tmp_path / "elsewhere" / "tls")
    import_authority(elsewhere, Path(provisioned["FORGATHER_CONFIG_DIR"]) / "tls" / "trust.pem")
    environment = provisioned | {"FORGATHER_CONFIG_DIR": str(elsewhere.directory.parent)}
    words = ["client", "--url", on_the_network["url"], "--list-models"]
    code, out, err = run(environment, *words)
    assert (code, out) == (2, "") and "401" in err and "--auth-token-file" in err
    assert run(environment, *words, "--auth-token-file", on_the_network["token"]) == (0, "tiny\n", "")


def test_a_host_that_does_not_know_the_authority_sends_nothing(on_the_network, environment, run):
    token = on_the_network["token"]
    words = ["client", "--url", on_the_network["url"], "--auth-token-file", token, "--health"]
    code, out, err = run(environment, *words)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1
    assert "forgather tls join" in err and read_token(Path(token)) not in err


def test_several_servers_on_this_machine(on_the_network, provisioned, model_directory, server, run):
    with server(provisioned, "-m", model_directory, "--no-tls") as lines:
        assert lines["url"].startswith("http://127.0.0.1:")
        code, _, err = run(provisioned, "client", "--health")
        assert code == 2 and err.startswith("2 servers run on this machine (") and lines["url"] in err
        assert run(provisioned, "client", "--url", lines["url"], "--list-models") == (0, "tiny\n", "")


def test_a_certificate_from_elsewhere(provisioned, model_directory, tmp_path, server, run):
    brought = tmp_path / "server.pem"
    brought.touch(0o600)
    brought.write_bytes((Path(provisioned["FORGATHER_CONFIG_DIR"]) / "tls" / "identity.pem").read_bytes())
    with server(provisioned, "-m", model_directory, "--tls-cert", brought) as lines:
        assert lines["url"].startswith("https://") and "--cacert" not in lines["try"]
        assert run(provisioned, "client", "--url", lines["url"], "--list-models") == (0, "tiny\n", "")


def test_insecure_is_loud(environment, model_directory, server, run):
    with server(environment, "-m", model_directory, "-H", "0.0.0.0", "--insecure") as lines:
        assert "in clear text" in lines["warning"] and lines["url"].startswith("http://")
        assert run(environment, "client", "--url", lines["url"], "--list-models") == (0, "tiny\n", "")


def test_the_token_stays_until_it_is_made_anew(environment, model_directory, server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

    def token(*options):
        with server(environment, "-m", model_directory, "-p", port, *options) as lines:
            return read_token(Path(lines["token"]))

    first = token()
    assert token() == first
    assert token("--regen-token") != first


# --- conformance ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(module_engine):
    return create_app(module_engine, ChatFormat(module_engine.tokenizer))


@pytest.fixture(scope="module")
def module_engine(loaded):
    engine = Engine(*loaded, name="tiny")
    yield engine
    engine.close()


@pytest.mark.parametrize("transport", ["plain on loopback", "TLS on every address"])
def test_conformance(transport, app, running, on_the_network):
    lines = running if "plain" in transport else on_the_network
    listener = Listener(
        url=lines["url"].removesuffix("/v1"), token=read_token(Path(lines["token"])), pid=lines["process"]
    )
    cases = conformance_cases(app, ACCESS)
    assert len(cases) > 20 * ROUTES
    for case in cases:
        run_case(case, listener)
