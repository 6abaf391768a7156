from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fg_data_server
from fg_data_server import DataError

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_public_name_exists_and_is_documented():
    documented = re.findall(r"^- `(\w+)`", README.split("## Public names")[1], flags=re.MULTILINE)
    assert sorted(documented) == sorted(fg_data_server.__all__)
    assert dir(fg_data_server) == sorted(fg_data_server.__all__)
    for name in fg_data_server.__all__:
        assert getattr(fg_data_server, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"no attribute 'Curser'"):
        _ = fg_data_server.Curser


def test_every_error_can_be_told_by_a_command_line():
    for name in fg_data_server.__all__:
        thing = getattr(fg_data_server, name)
        if name.endswith("Error"):
            assert issubclass(thing, DataError)
            assert issubclass(thing, ValueError)
            assert thing.exit_code == 2


def test_the_package_imports_neither_numpy_nor_torch_and_using_it_no_torch():
    program = (
        "import sys, fg_data_server as d\n"
        "assert 'numpy' not in sys.modules\n"
        "for name in d.__all__: getattr(d, name)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'fastapi'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def test_the_example_of_the_readme_runs():
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
