"""Records of running servers: written by real processes, and not believed when those have ended."""

import dataclasses
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_tls import EndpointError
from fg_tls.endpoints import Endpoint, announced, endpoints, find
from fg_tls.host.processes import ProcessMark

WAIT = 30
SERVER = """
import sys
from fg_tls.endpoints import Endpoint, announced
endpoint = Endpoint(service="test", host="127.0.0.1", port=int(sys.argv[1]), tls=False, urls=("http://127.0.0.1",))
with announced(endpoint):
    print("announced", flush=True)
    sys.stdin.read()
print("withdrawn", flush=True)
"""


def endpoint(**changes):
    return Endpoint(**{"service": "test", "host": "127.0.0.1", "port": 4000, "tls": False} | changes)


class Server:
    """A process that has announced itself."""

    def __init__(self, port):
        command = [sys.executable, "-c", SERVER, str(port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "announced\n"

    def stop(self):
        return self.process.communicate(timeout=WAIT)[0]

    def kill(self, *, reap=True):
        self.process.send_signal(signal.SIGKILL)
        if reap:
            self.process.wait(WAIT)
        else:
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def server():
    started = []

    def start(port):
        started.append(Server(port))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def ports(service=None):
    return [each.port for each in endpoints(service)]


def test_a_record_lasts_as_long_as_its_server(server, config_directory):
    running = server(4001)
    (found,) = endpoints()
    assert (found.service, found.port, found.urls) == ("test", 4001, ("http://127.0.0.1",))
    assert found.process.pid == running.process.pid
    assert running.stop() == "withdrawn\n"
    assert endpoints() == [] and list(config_directory.rglob("*.json")) == []


def test_what_was_written_is_what_is_read(config_directory):
    written = endpoint(tls=True, urls=("https://a.lan:4000", "https://[::1]:4000"), token_file=Path("/t"), name="x")
    of_a_job = endpoint(job="job_1", port=4001)
    with announced(written), announced(of_a_job):
        assert endpoints() == [written, of_a_job]
        assert written.path == config_directory / "test" / "4000.json"
        assert of_a_job.path == config_directory / "jobs" / "job_1" / "endpoint.json"
    assert endpoints() == []


def test_a_record_is_private_under_any_umask():
    before = os.umask(0)
    try:
        with announced(endpoint()) as found:
            assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
            assert stat.S_IMODE(found.path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


@pytest.mark.parametrize("reap", [True, False], ids=["gone", "zombie"])
def test_a_killed_server_is_not_listed_and_the_next_one_sweeps_up(server, config_directory, reap):
    server(4001).kill(reap=reap)
    assert (config_directory / "test" / "4001.json").is_file()
    assert endpoints() == []
    server(4002)
    assert ports() == [4002]
    assert [path.name for path in config_directory.rglob("*.json")] == ["4002.json"]


@pytest.mark.parametrize(
    ("change", "swept"),
    [
        ({"started": -100.0}, True),
        ({"boot": "the one before"}, True),
        ({"machine": "another.lan"}, False),
        ({"space": "pid:[1]"}, False),
    ],
    ids=["a recycled number", "before a restart", "another machine", "another container"],
)
def test_a_running_process_with_the_same_number_is_not_taken_for_the_server(change, swept):
    mark = dataclasses.replace(ProcessMark.own(), **change)
    with announced(endpoint(process=mark)) as written:
        assert endpoints() == []
        with announced(endpoint(port=4001)):
            assert ports() == [4001]
            assert written.path.exists() is not swept


def test_the_next_job_sweeps_up_what_killed_ones_left(config_directory):
    gone = endpoint(job="killed", process=dataclasses.replace(ProcessMark.own(), started=-100.0))
    with announced(gone):
        other = gone.path.with_name("state.json")
        other.write_text(gone.path.read_text())
        with announced(endpoint(job="next")):
            assert not gone.path.exists() and other.exists()
            assert [each.job for each in endpoints()] == ["next"]


def test_a_running_process_is_told_by_the_clock_of_the_kernel(monkeypatch):
    """psutil before 7.1 remembers when the machine was started, as the clock of that moment said."""
    mark = ProcessMark.own()
    monkeypatch.setattr("psutil._pslinux.BOOT_TIME", psutil.boot_time() - 3600, raising=False)
    assert mark.alive and ProcessMark.own().started == pytest.approx(mark.started, abs=1)


def test_a_server_removes_its_own_record_only():
    first, second = endpoint(name="first"), endpoint(name="second")
    with announced(second):
        with announced(first):
            first.path.write_text(second.path.read_text().replace("first", "second"))
        assert [each.name for each in endpoints()] == ["second"]


def garbage():
    good = dataclasses.asdict(endpoint())
    return {
        "empty": "",
        "binary": "\x00\x01",
        "half": json.dumps(good)[:40],
        "list": "[]",
        "null": "null",
        "deep": "[" * 100_000,
        "port": json.dumps(good | {"port": "4000"}),
        "bool": json.dumps(good | {"port": True}),
        "process": json.dumps(good | {"process": None}),
        "number": json.dumps(good | {"process": good["process"] | {"pid": -1}}),
        "start": json.dumps(good | {"process": good["process"] | {"started": 10**400}}),
        "large": json.dumps(good | {"name": "x" * 70_000}),
    }


@pytest.mark.parametrize("kind", sorted(garbage()))
def test_files_that_are_no_record_are_skipped(config_directory, kind):
    with announced(endpoint(port=4001)):
        path = config_directory / "test" / "4000.json"
        path.write_text(garbage()[kind])
        path.chmod(0o600)
        assert ports() == [4001]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["service", "host", "port", "tls", "urls", "process", "pid", "started"]), inner
            )
        ),
    )
)
def test_no_json_breaks_a_reader(tmp_path_factory, value):
    directory = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGATHER_CONFIG_DIR", str(directory))
        (directory / "test").mkdir()
        path = directory / "test" / "4000.json"
        path.touch(0o600)
        path.write_text(json.dumps(value))
        assert endpoints() == []


def test_what_others_could_have_written_is_not_believed(config_directory, tmp_path):
    with announced(endpoint()) as found:
        text = found.path.read_text()
        found.path.chmod(0o640)
        assert endpoints() == []
        found.path.chmod(0o600)
        assert ports() == [4000]
        found.path.rename(tmp_path / "elsewhere")
        found.path.symlink_to(tmp_path / "elsewhere")
        assert endpoints() == []
        found.path.unlink()
        os.mkfifo(found.path, 0o600)
        assert endpoints() == []
        found.path.unlink()
        assert text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_the_record_of_another_user_is_not_believed():
    with announced(endpoint()) as found:
        os.chown(found.path, 12345, -1)
        assert endpoints() == []


def test_finding_one_server():
    with pytest.raises(EndpointError, match=r"^no server with service test, port 4000 runs on this machine; start one"):
        find(service="test", port=4000)
    with announced(endpoint()), announced(endpoint(port=4001)), announced(endpoint(service="other", job="j", port=1)):
        assert find(port=4001).port == 4001
        assert find(job="j").service == "other"
        assert ports("test") == [4000, 4001] and ports("other") == [1]
        with pytest.raises(EndpointError, match=r"2 servers with service test run .*\(test on port 4000, test on port"):
            find(service="test")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 200])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(EndpointError, match="cannot name a service or a job"), announced(endpoint(service=name)):
        pass
    with pytest.raises(EndpointError, match="cannot name a service or a job"), announced(endpoint(job=name)):
        pass


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "file"))
    with (
        pytest.raises(EndpointError, match=r"cannot write .*4000\.json: .*FORGATHER_CONFIG_DIR"),
        announced(endpoint()),
    ):
        pass


def test_a_record_that_cannot_be_removed_does_not_fail_a_server_that_has_ended(caplog):
    with announced(endpoint()) as found:
        (found.path.parent / ".lock").unlink()
        (found.path.parent / ".lock").mkdir()
    assert f"cannot remove {found.path}" in caplog.text
    with pytest.raises(EndpointError, match=r"cannot write to .*: Is a directory"), announced(endpoint()):
        pass


@pytest.mark.parametrize("name", ["/etc", "..", "a/b", "*"])
def test_only_a_service_is_looked_for(name):
    with pytest.raises(EndpointError, match="cannot name a service or a job"):
        endpoints(name)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_what_is_no_file_is_not_left_open(config_directory):
    (config_directory / "test" / "4000.json").mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert endpoints() == endpoints("test") == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_whether_a_process_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert ProcessMark.own().listens(port)
    assert not ProcessMark.own().listens(port)


def test_reading_records_imports_no_server():
    script = (
        "import sys, fg_tls.endpoints as e\n"
        "assert e.endpoints() == []\n"
        "heavy = {'torch', 'uvicorn', 'starlette', 'cryptography', 'httpx', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT, check=False)
    assert done.returncode == 0, done.stderr
