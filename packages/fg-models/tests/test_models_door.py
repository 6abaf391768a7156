"""The public door: every name resolves, and opening it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fg_models


def test_importing_the_package_imports_neither_torch_nor_transformers():
    code = "import sys, fg_models; print(sorted({'torch', 'transformers', 'tokenizers'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"


def test_every_public_name_resolves_and_no_other_does():
    assert sorted(fg_models.__all__) == dir(fg_models)
    for name in fg_models.__all__:
        assert getattr(fg_models, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        _ = fg_models.load_modle
