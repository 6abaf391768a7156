"""Inputs that reach much of the config language, and inputs that once broke it, still obey its laws."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.fuzz.__main__ import CORPUS
from tools.fuzz.laws import check_laws

INPUTS = sorted(CORPUS.iterdir())


@pytest.mark.parametrize("path", INPUTS, ids=[path.name for path in INPUTS])
def test_the_laws_hold(path: Path):
    check_laws(path.read_bytes().decode("utf-8", errors="replace"))


def test_a_broken_law_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tools.fuzz.laws.to_yaml", lambda root: "a: 2")
    with pytest.raises(AssertionError, match="reads back as something else"):
        check_laws("a: 1")
