"""Tests of what Triton's compiler makes of the kernels, no GPU needed: `hatch run kernels:test`.

They cannot share a process with the interpreter, which replaces the compiler when a kernel is defined.
"""

import importlib.util
import os

import pytest

if importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") == "1":
    collect_ignore_glob = ["test_*.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-architectures",
        action="store_true",
        help="compile the candidates of the tuner for every architecture, not for sm_90 alone: takes minutes",
    )
