"""The verb `kernels`, as the command line calls it."""

import argparse
import json
import math
import os
import subprocess
import sys

import pytest
import torch

from fg_kernels import commands
from fg_kernels.errors import BackendError, UnknownOptionError, UnwritableFileError
from fg_kernels.measuring.files import as_json, check_writable

WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")


def kernels(*words: str) -> int:
    parser = argparse.ArgumentParser()
    commands.configure("kernels", parser, words)
    return commands.run("kernels", parser.parse_args(words))


def test_the_command_line_is_read_without_torch():
    script = (
        "import argparse, sys; from fg_kernels import commands; parser = argparse.ArgumentParser()\n"
        "commands.configure('kernels', parser, []); parser.parse_args(['bench', 'adamw', '--quick'])\n"
        "assert not {'torch', 'numpy', 'triton'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_check_prints_its_findings_and_tells_progress_apart(capsys):
    assert kernels("check", "noise", "sr_add_") == 0
    printed = capsys.readouterr()
    assert "known answers of Random123 that differ" in printed.out and "promises kept" in printed.out
    assert "… noise by reference on cpu" in printed.err and "…" not in printed.out


def test_check_as_json(capsys):
    assert kernels("check", "noise", "--json") == 0
    findings = json.loads(capsys.readouterr().out)
    assert {finding["op"] for finding in findings} == {"noise"}
    assert all(finding["kept"] and finding["value"] <= finding["limit"] for finding in findings)


def test_check_of_a_broken_promise_fails(monkeypatch, capsys):
    """A generator that is not Philox must be noticed: here one with another number of rounds."""
    from fg_kernels import philox
    from fg_kernels.measuring import promises

    right = philox.philox4x32
    monkeypatch.setattr(promises.philox, "philox4x32", lambda counter, key: right(counter, key, rounds=10))
    assert kernels("check", "noise") == 1
    assert "NO" in capsys.readouterr().out


@WITHOUT_GPU
def test_which_gives_the_reason(capsys):
    assert kernels("which", "sr_copy_") == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["operation", "backend", "because", "on", "request"]
    assert line.startswith("sr_copy_") and ("triton is not installed" in line or "not on a CUDA device" in line)


def test_which_lists_every_operation_that_is_measured_or_has_kernels(capsys):
    from fg_kernels import dispatch
    from fg_kernels.measuring.bench import Plan

    kernels("which", "--json")
    rows = json.loads(capsys.readouterr().out)
    names = [row["op"] for row in rows]
    assert names == sorted(names)
    measured = {case.op for case in Plan(device=torch.device("cpu"), quick=True).cases()}
    assert measured | set(dispatch.offers()) == set(names)
    assert all(row["reason"] for row in rows)


@pytest.mark.parametrize("words", [["which", "sr_cpy_"], ["check", "sr_cpy_"], ["bench", "sr_cpy_", "--quick"]])
def test_an_operation_that_does_not_exist(words):
    with pytest.raises(UnknownOptionError, match="sr_cpy_") as caught:
        kernels(*words)
    assert caught.value.exit_code == 2


@WITHOUT_GPU
def test_a_device_that_is_not_there():
    with pytest.raises(BackendError, match="no CUDA device"):
        kernels("bench", "--device", "cuda")


@pytest.mark.parametrize("rounds", ["0", "-1", "some"])
def test_rounds_are_positive(rounds, capsys):
    with pytest.raises(SystemExit) as caught:
        kernels("bench", "--rounds", rounds)
    assert caught.value.code == 2
    assert "positive whole number" in capsys.readouterr().err


def test_bench_stores_what_it_prints(tmp_path, capsys):
    stored = tmp_path / "record.json"
    assert kernels("bench", "swiglu", "--quick", "--rounds", "2", "--device", "cpu", "--json", str(stored)) == 0
    printed = capsys.readouterr().out
    record = json.loads(stored.read_text("utf-8"))
    assert record["device"] == "cpu" and record["rounds"] == 2
    assert record["machine"]["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    ours = next(row for row in record["results"] if row["contender"] == "fg_kernels")
    assert ours["case"] in printed and ours["error"] < 0.01 and ours["ms on CPU"] > 0


def test_a_record_that_could_not_be_stored_is_noticed_before_anything_is_measured(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "record.json"):
        with pytest.raises(UnwritableFileError, match="cannot be written"):
            kernels("bench", "swiglu", "--quick", "--device", "cpu", "--json", str(path))
    assert capsys.readouterr().err == ""


def test_whether_a_file_can_be_written_is_found_out_without_touching_it(tmp_path):
    old, new = tmp_path / "old", tmp_path / "folder" / "new"
    old.write_text("content")
    check_writable(old)
    check_writable(new)
    assert old.read_text() == "content" and not new.exists() and new.parent.is_dir()


def test_what_json_cannot_say_becomes_null():
    assert json.loads(as_json({"a": [math.nan, math.inf, 1.5], "b": (None, True, -0.0)})) == {
        "a": [None, None, 1.5],
        "b": [None, True, 0.0],
    }


def test_the_profiler_is_silent():
    """Its lines come from C++, straight to the error stream; nothing but progress is there, and no progress on ours."""
    script = (
        "import argparse, sys; from fg_kernels import commands; parser = argparse.ArgumentParser()\n"
        "words = ['bench', 'adamw', '--quick', '--rounds', '1', '--device', 'cpu']\n"
        "commands.configure('kernels', parser, words); sys.exit(commands.run('kernels', parser.parse_args(words)))"
    )
    environment = {name: value for name, value in os.environ.items() if name not in commands._QUIET}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True, env=environment
    )
    assert done.stderr and all(line.startswith("…") for line in done.stderr.splitlines()), done.stderr
    assert "extra MiB" in done.stdout and "…" not in done.stdout


def test_bench_of_targets_prints_only_these(capsys):
    assert kernels("bench", "swiglu", "--quick", "--rounds", "1", "--device", "cpu", "--targets") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("target") and any(line.startswith("A1") and "not run" in line for line in lines)


@WITHOUT_GPU
def test_a_target_that_ours_failed_to_measure_is_failed(capsys):
    """Kernels that must run, and cannot on this machine."""
    from fg_kernels.dispatch import use

    words = ("bench", "adafactor", "--quick", "--rounds", "1", "--device", "cpu")
    with use("triton", strict=True):
        assert kernels(*words, "--targets") == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("A4 "))
    assert "failed: fg_kernels failed: " in line


def test_ctrl_c_leaves_no_traceback():
    """Through the whole command line, where it is installed; the first line of progress says that work has begun."""
    pytest.importorskip("fg_cli")
    import signal

    command = [sys.executable, "-m", "fg_cli", "kernels", "bench", "--rounds", "1000", "--quick"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stderr is not None
        assert run.stderr.readline().startswith("…")
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130 and "Traceback" not in said
