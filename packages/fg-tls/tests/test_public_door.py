import re
import subprocess
import sys
from pathlib import Path

import pytest

import fg_tls

README = Path(__file__).parent.parent / "README.md"


def test_importing_the_package_imports_no_server():
    script = (
        "import sys, fg_tls, fg_tls.errors\n"
        "assert 'serve' in dir(fg_tls)\n"
        "assert not {'torch', 'uvicorn', 'starlette', 'asyncio'} & set(sys.modules), sorted(sys.modules)\n"
        "from fg_tls import serve\n"
        "assert callable(serve) and callable(fg_tls.serve)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", fg_tls.__all__)
def test_every_public_name_exists(name):
    assert getattr(getattr(fg_tls, name), "__name__", name) == name


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match="'serv'"):
        _ = fg_tls.serv


def test_the_readme_lists_the_public_names():
    section = README.read_text("utf-8").split("## Public names")[1].split("\n## ")[0]
    assert re.findall(r"^- `(\w+)`: .", section, flags=re.MULTILINE) == fg_tls.__all__


def test_the_code_in_the_readme_runs(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "401\n200 hello\n"
