"""A household: the host of the authority, and hosts that join it."""

import os
import queue
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass

from fg_tls.host.provisioning import init
from fg_tls.host.store import Store
from fg_tls.issuing.issuer import Issuer
from fg_tls.issuing.join_messages import JoinRequest
from fg_tls.issuing.leaving import with_proof
from fg_tls.issuing.running import serve_issuer, serve_one_token
from fg_tls.pki import keys
from fg_tls.pki.names import parse_names
from fg_tls.pki.signing_requests import signing_request

LONGEST_WAIT = 30
ISSUER_NAMES = ("muthur.lan", "localhost", "127.0.0.1", "192.168.7.1")


def new_issuer(directory, **options):
    store = Store(directory)
    init(store, names=parse_names(ISSUER_NAMES))
    return Issuer(store, **options)


@dataclass
class Running:
    """An issuer that serves."""

    serving: object
    thread: threading.Thread

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.serving.port}"

    def wait(self):
        self.thread.join(LONGEST_WAIT)
        assert not self.thread.is_alive()


@contextmanager
def served(store, *, until=None, **options):
    """The issuer of `store`, on a free port of loopback; `until` a token is used."""
    started = queue.Queue()
    options = {"host": "127.0.0.1", "port": 0} | options

    def serve():
        if until is None:
            serve_issuer(store, ready=started.put, **options)
        else:
            serve_one_token(store, lambda *_: until, ready=lambda _, serving: started.put(serving), **options)

    thread = threading.Thread(target=serve)
    thread.start()
    running = Running(started.get(timeout=LONGEST_WAIT), thread)
    try:
        yield running
    finally:
        running.serving.stop()
        running.wait()


def join_request(token, names=("wopr.lan",), *, csr=None, authority=None, hostname="wopr", old=None):
    """The body that a host with this token would send; it leaves the membership of `old`."""
    request = JoinRequest(
        token_id=token.id,
        authority=authority or token.authority,
        csr=signing_request(keys.new_key()) if csr is None else csr,
        names=tuple(names),
        hostname=hostname,
    )
    return (request if old is None else with_proof(request, old)).to_json(token.secret)


# Kills its own process at the N-th change of a file below DIRECTORY: no handler runs, no buffer is flushed.
_DIE_AT_CHANGE = """
import os, signal, sys
directory, left = sys.argv[1], int(sys.argv[2])
def hook(event, args):
    global left
    writes = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
    changes = writes or event in ("os.rename", "os.remove")
    if changes and any(str(each).startswith(directory) for each in args if isinstance(each, (str, os.PathLike))):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_at_change(number, directory, program, *arguments):
    """Run `program` in a process that dies by SIGKILL at its change `number` below `directory`; its exit status."""
    script = f"{_DIE_AT_CHANGE}\n{program[0]}\nsys.addaudithook(hook)\n{program[1]}"
    command = [sys.executable, "-c", script, str(directory), str(number), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_WAIT, env=os.environ, check=False)
    assert run.returncode in (0, -9), run.stderr
    return run.returncode
