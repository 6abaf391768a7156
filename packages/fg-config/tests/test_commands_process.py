"""How a command line ends: exit codes, messages instead of tracebacks, pipes and Ctrl-C, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROBE = """\
import os, sys
VERBS = {"sleep": "wait", "fail": "raise", "flood": "print much", "bug": "a fault of ours"}
VERBS |= {"open": "a file", "stand": "here", "name": "one of Köln"}
class Mistake(ValueError):
    exit_code = 2
def configure(verb, parser, argv):
    parser.add_argument("--many", type=int, default=100000)
    actions = parser.add_subparsers(dest="action")
    actions.add_parser("now").add_argument("--quickly")
def run(verb, args):
    if verb == "fail":
        raise Mistake("the value 3 is wrong; use 4")
    if verb == "bug":
        raise RuntimeError("a fault of ours")
    if verb == "open":
        open("x" * args.many)
    if verb == "stand":
        os.getcwd()
    if verb == "name":
        print("Köln")
    if verb == "flood":
        for number in range(args.many):
            print(number)
    if verb == "sleep":
        print("ready", flush=True)
        sys.stdin.read()
    return 5
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "probe.py").write_text(PROBE)
    start = "import probe, sys; from fg_config.command_line import main; sys.exit(main(probe, prog='probe'))"
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {start}"]


def run(command: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=60)


def test_the_exit_code_of_the_verb_is_the_exit_code(command):
    assert run(command, "flood", "--many", "1").returncode == 5


def test_a_mistake_of_the_user_is_one_message(command):
    done = run(command, "fail")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "the value 3 is wrong; use 4\n")


def test_a_fault_of_ours_keeps_its_traceback(command):
    done = run(command, "bug")
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_a_place_that_the_system_refuses_is_one_message(command):
    done = run(command, "open", "--many", "300")
    assert (done.returncode, done.stderr) == (2, f"File name too long: {'x' * 300}\n")


def test_a_directory_that_is_gone_is_one_message(command, tmp_path):
    (tmp_path / "gone").mkdir()
    where = f"import os; os.chdir({str(tmp_path / 'gone')!r}); os.rmdir(os.getcwd()); "
    done = run([*command[:2], where + command[2]], "stand")
    assert (done.returncode, done.stderr) == (2, "No such file or directory: the current directory\n")


def test_a_reader_that_goes_away_is_no_error(command):
    process = subprocess.Popen([*command, "flood"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("words", [[], ["--help"], ["flood", "--help"]])
def test_a_reader_of_help_that_goes_away_is_no_error(command, words):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (141, "")


def test_ctrl_c_ends_in_one_line(command):
    process = subprocess.Popen(
        [*command, "sleep"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (130, "interrupted\n")
    finally:
        process.kill()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_a_full_disk_is_one_message(command):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "flood", "--many", "9"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (2, "No space left on device: the output\n")


@pytest.mark.parametrize("words", [["name"], ["name", "--help"]])
def test_a_character_that_the_locale_lacks_is_one_message(command, words):
    ascii_alone = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, env=ascii_alone)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "cannot print '\\xf6' in ascii, as this locale wants it; set PYTHONUTF8=1\n"


def test_help_verbs_and_unknown_verbs(command):
    assert "sleep  wait" in run(command).stdout == run(command, "--help").stdout == run(command, "help").stdout
    assert run(command, "help", "flood").stdout == run(command, "flood", "--help").stdout
    done = run(command, "flod")
    assert done.returncode == 1 and "unknown verb 'flod'" in done.stderr and "'flood'" in done.stderr


def test_a_usage_error_is_the_error_alone(command):
    done = run(command, "flood", "--many", "x")
    assert done.stderr.splitlines() == [
        "probe flood: error: argument --many: invalid int value: 'x'",
        "  help: `probe flood --help` explains every flag",
    ]


def test_flags_of_sub_verbs_are_suggested(command):
    done = run(command, "flood", "now", "--quikly", "1")
    assert done.returncode == 2 and "did you mean '--quickly'?" in done.stderr
    done = run(command, "flood", "nov")
    assert done.returncode == 2 and "did you mean 'now'?" in done.stderr


def test_the_command_line_imports_neither_jinja_nor_yaml():
    code = """
        import sys
        sys.modules["fg_config"] = type(sys)("fg_config")  # the package itself reads configs; its command line need not
        sys.modules["fg_config"].__path__ = [PATH]
        import fg_config.command_line, fg_config.commands
        print([name for name in ("jinja2", "yaml", "torch") if name in sys.modules])
    """
    import fg_config

    code = textwrap.dedent(code).replace("PATH", repr(os.fspath(Path(fg_config.__file__).parent)))
    assert run([sys.executable, "-c", code]).stdout == "[]\n"


NAMES_LIBRARIES = """\
meta: {config_name: "Names", layer: !call:torch.nn:Linear [2, 2]}
main: &layer !call:torch.nn:Linear {in_features: 2, out_features: !var width}
each: !factory:torch.optim:AdamW [*layer]
later: !partial:here.py:thing []
"""
LOOKING = """\
import sys
from fg_config import commands
from fg_config.command_line import main

project = sys.argv[1]
for words in (
    "ls", "ls --json", "pp", "targets", "trefs", "trefs --json", "code", "code --target later",
    "graph", "graph --format json", "graph --format python", "graph --format repr", "graph --format none",
):
    verb, *rest = words.split()
    assert main(commands, [verb, "-p", project, *rest]) == 0, words
print("imported:", sorted(name for name in sys.modules if name.partition(".")[0] in ("torch", "here")), file=sys.stderr)
import torch
print("imported:", torch.IS_HERE, file=sys.stderr)
"""


def test_looking_at_a_config_imports_nothing_that_it_names(tmp_path):
    """The torch of this test can be imported, and is at the end: the verbs could have."""
    for path, text in {
        "library/torch/__init__.py": "IS_HERE = True\n",
        "library/torch/nn.py": "class Linear: pass\n",
        "library/torch/optim.py": "class AdamW: pass\n",
        "forgather_workspace/.keep": "",
        "project/meta.yaml": "name: P\n",
        "project/here.py": "raise RuntimeError('imported')\n",
        "project/templates/configs/c.yaml": NAMES_LIBRARIES,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'library')!r})\n{LOOKING}"]
    done = run(command, str(tmp_path / "project"))
    assert done.stderr == "imported: []\nimported: True\n"
    assert "from torch.nn import Linear" in done.stdout


def test_python_m_fg_config(tmp_path):
    done = run([sys.executable, "-m", "fg_config"])
    assert done.returncode == 0 and "usage: python -m fg_config VERB" in done.stdout
