"""Tests of Triton kernels on CPU tensors: `hatch run kernels:test`, which sets TRITON_INTERPRET=1 for this folder."""

import importlib.util
import os

import pytest

if importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def _by_the_interpreter():
    from fg_kernels.dispatch import use

    with use("interpret"):
        yield
