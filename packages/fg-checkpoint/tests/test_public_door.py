"""The public names: all there, all documented, none of them paid for at import."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fg_checkpoint

README = Path(__file__).parents[1] / "README.md"


def test_every_public_name_can_be_had_and_is_in_the_readme():
    listed = re.findall(r"^- `(\w+)`: \S", README.read_text().partition("## Public names")[2], re.MULTILINE)
    assert listed == sorted(fg_checkpoint.__all__)
    for name in fg_checkpoint.__all__:
        assert getattr(fg_checkpoint, name) is not None
    assert dir(fg_checkpoint) == sorted(fg_checkpoint.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'CheckpointShop'"):
        fg_checkpoint.CheckpointShop  # noqa: B018 - the access is the test


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)


def test_importing_the_distribution_and_its_commands_is_light():
    heavy = "{'torch', 'numpy', 'safetensors', 'xxhash', 'transformers'}"
    done = run("-c", f"import sys, fg_checkpoint, fg_checkpoint.commands; assert not {heavy} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


def test_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 1
    done = run("-c", blocks[0])
    assert done.returncode == 0, done.stderr


def test_help_and_usage_errors():
    done = run("-m", "fg_checkpoint", "checkpoint", "verify", "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout
    assert run("-m", "fg_checkpoint", "checkpoint").returncode == 2
