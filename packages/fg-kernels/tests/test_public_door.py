import re
import subprocess
import sys
from pathlib import Path

import pytest

import fg_kernels
from fg_kernels.errors import KernelError, UnknownOptionError, check_option

README = Path(__file__).parent.parent / "README.md"


def test_importing_the_package_imports_neither_torch_nor_numpy():
    script = (
        "import sys, fg_kernels, fg_kernels.errors\n"
        "assert 'AdamW' in dir(fg_kernels)\n"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules), sorted(sys.modules)\n"
        "import fg_kernels.optim\n"
        "import fg_kernels.functional, fg_kernels.layers, fg_kernels.memory, fg_kernels.nn\n"
        "assert 'torch' in sys.modules and 'transformers' not in sys.modules\n"
        "assert 'torch._dynamo' not in sys.modules  # seconds, which only those who compile should wait\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", fg_kernels.__all__)
def test_every_public_name_exists(name):
    value = getattr(fg_kernels, name)
    assert name == "__version__" or value.__name__ == name


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match="'Adam'"):
        _ = fg_kernels.Adam


def test_the_readme_lists_the_public_names():
    section = README.read_text("utf-8").split("## Public names")[1].split("\n## ")[0]
    assert re.findall(r"^- `(\w+)`: .", section, flags=re.MULTILINE) == fg_kernels.__all__


def test_the_code_in_the_readme_runs():
    for block in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL):
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr


def test_errors_are_value_errors_with_an_exit_code():
    with pytest.raises(ValueError, match="Did you mean 'stochastic'") as caught:
        check_option("rounding", "stocastic", ("stochastic", "nearest"))
    assert isinstance(caught.value, UnknownOptionError) and isinstance(caught.value, KernelError)
    assert caught.value.exit_code == 2
