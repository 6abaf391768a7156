import re
import subprocess
import sys
from pathlib import Path

import pytest

import fg_inference

README = Path(__file__).parent.parent / "README.md"


def test_importing_the_package_and_its_commands_imports_nothing_heavy():
    script = (
        "import sys, fg_inference, fg_inference.commands, fg_inference.errors\n"
        "assert 'Engine' in dir(fg_inference)\n"
        "heavy = {'torch', 'transformers', 'fastapi', 'pydantic', 'httpx', 'uvicorn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "from fg_inference import InferenceClient\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", fg_inference.__all__)
def test_every_public_name_exists(name):
    assert getattr(getattr(fg_inference, name), "__name__", name) == name


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match="'Motor'"):
        _ = fg_inference.Motor


def test_the_readme_lists_the_public_names():
    section = README.read_text("utf-8").split("## Public names")[1].split("\n## ")[0]
    assert re.findall(r"^- `(\w+)`: .", section, flags=re.MULTILINE) == fg_inference.__all__


def test_the_code_in_the_readme_runs(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "one two \nstop True\n"
