"""What `import fg_config` offers, and what it costs."""

import re
import subprocess
import sys
from pathlib import Path

import fg_config


def test_every_public_name_resolves_and_is_documented():
    for name in fg_config.__all__:
        assert getattr(fg_config, name) is not None
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    section = readme.split("## Public names")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^- `(\w+)`:", section, re.MULTILINE)) == sorted(fg_config.__all__)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, fg_config; print(*sorted({'jinja2', 'yaml', 'torch', 'platformdirs'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "\n"


def test_errors_carry_an_exit_code():
    assert {fg_config.ConfigError.exit_code, fg_config.PolicyError.exit_code} == {2}
    assert issubclass(fg_config.UnknownTargetError, KeyError)
    assert str(fg_config.UnknownTargetError("no target 'x'")) == "error[FG0401]: no target 'x'"
