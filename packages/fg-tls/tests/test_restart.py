"""A server that replaces itself, and sockets that were bound by somebody else."""

import http.client
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from fg_tls import Store
from fg_tls.host.provisioning import init
from fg_tls.listener.handover import inherited
from fg_tls.pki.names import parse_names

LONGEST_WAIT = 60
RESTARTS = 3
SCRIPT = """
import os, sys, threading
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from fg_tls import PUBLIC, AccessTable, TokenStore, serve
run = int(os.environ["RUN"])
servings = []
def say(request):
    return PlainTextResponse(f"{os.getpid()} {run}")
def restart(request):
    servings[0].handover()
    return PlainTextResponse("soon")
def ready(serving):
    servings.append(serving)
    print(serving.url, run, flush=True)
routes = [Route("/run", say), Route("/restart", restart, methods=["POST"])]
handover = serve(
    Starlette(routes=routes),
    service="test",
    port=int(sys.argv[1]),
    access=AccessTable({("GET", "/run"): PUBLIC, ("POST", "/restart"): PUBLIC}),
    tokens=TokenStore(),
    ready=ready,
)
if handover is not None:
    os.environ["RUN"] = str(run + 1)
    handover.restart()
"""


@pytest.fixture
def program(tmp_path):
    """Starts the script in a process of its own, on a port."""
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    processes = []

    def start(port, *, wrapper=(), **options):
        environment = os.environ | {"FORGATHER_TLS_DIR": str(tmp_path / "tls"), "RUN": "0"}
        command = [*wrapper, sys.executable, str(script), str(port)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **options)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Hammer(threading.Thread):
    """Asks again and again, each time on a new connection; keeps what came back, and what went wrong."""

    def __init__(self, url, context):
        super().__init__(daemon=True)
        self.url, self.context = url, context
        self.answers, self.failures = [], []
        self.enough = threading.Event()

    def run(self):
        while not self.enough.is_set():
            try:
                with urllib.request.urlopen(self.url, timeout=LONGEST_WAIT, context=self.context) as answer:
                    self.answers.append(answer.read().decode())
            except OSError as error:
                self.failures.append(repr(error))


@pytest.mark.parametrize("tls", [False, True])
def test_a_program_that_restarts_in_place_refuses_nobody(program, tmp_path, tls):
    context = None
    if tls:
        store = Store(tmp_path / "tls")
        init(store, names=parse_names(["localhost"]))
        context = ssl.create_default_context(cafile=str(store.directory / "trust.pem"))
    process = program(_free_port())
    url, _ = process.stdout.readline().split()
    hammers = [Hammer(f"{url}/run", context) for _ in range(2)]
    for hammer in hammers:
        hammer.start()
    for run in range(1, RESTARTS + 1):
        with urllib.request.urlopen(f"{url}/restart", data=b"", timeout=LONGEST_WAIT, context=context) as answer:
            assert answer.status == 200
        assert process.stdout.readline().split() == [url, str(run)]
    for hammer in hammers:
        hammer.enough.set()
        hammer.join(LONGEST_WAIT)
    assert [failure for hammer in hammers for failure in hammer.failures] == []
    seen = {answer for hammer in hammers for answer in hammer.answers}
    assert {f"{process.pid} {run}" for run in range(RESTARTS)} <= seen  # the process id stays
    assert {answer.split()[0] for answer in seen} == {str(process.pid)}


def test_an_answer_during_the_handover_says_that_the_connection_ends(program):
    process = program(_free_port())
    url, _ = process.stdout.readline().split()
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=LONGEST_WAIT)
    connection.connect()  # accepted by the first run, which has to answer on it
    with urllib.request.urlopen(f"{url}/restart", data=b"", timeout=LONGEST_WAIT):
        pass
    connection.request("GET", "/run")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read().decode().startswith(f"{process.pid} ")
    connection.close()
    process.terminate()
    assert process.wait(LONGEST_WAIT) == 0


SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_socket_of_systemd_is_served(program):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        descriptor, port = listener.fileno(), listener.getsockname()[1]
        wrapper = [sys.executable, "-c", SYSTEMD, str(descriptor)]
        process = program(port, wrapper=wrapper, pass_fds=[descriptor])
        assert process.stdout.readline().split() == [f"http://127.0.0.1:{port}", "0"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/run", timeout=LONGEST_WAIT) as answer:
        assert answer.read().decode() == f"{process.pid} 0"


def test_only_a_socket_of_this_process_and_port_is_taken(monkeypatch):
    first, second = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    with first, second, Path(os.devnull).open() as no_socket:
        given = [first.fileno(), no_socket.fileno(), second.fileno(), 9999]
        numbers = ",".join(map(str, given))
        monkeypatch.setenv("FORGATHER_LISTEN_FDS", f"{os.getppid()}:{numbers}")
        assert inherited(0) is None  # those are of another process
        monkeypatch.setenv("FORGATHER_LISTEN_FDS", f"{os.getpid()}:{numbers}")
        assert inherited(1) is None
        found = inherited(second.getsockname()[1])
        assert found.getsockname() == second.getsockname()
        assert not found.get_inheritable()
        assert inherited(second.getsockname()[1]) is None  # once is enough
        assert inherited(0).detach() == first.fileno()
        found.detach()


@pytest.mark.parametrize("value", ["", "x", "1", ":", "{pid}:", "{pid}:x,,-1,99999999"])
def test_nonsense_in_the_environment_is_no_socket(monkeypatch, value):
    monkeypatch.setenv("FORGATHER_LISTEN_FDS", value.format(pid=os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "many")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert inherited(0) is None
