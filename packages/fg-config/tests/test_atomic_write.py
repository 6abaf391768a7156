"""Files that are replaced in one step: what is left, and what is said, when that fails."""

from __future__ import annotations

import resource

import pytest

from fg_config.files import atomic_write


@pytest.fixture
def small_files():
    """No file grows beyond some bytes, as on a disk that is almost full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_names_the_file_and_leaves_it(tmp_path, small_files):
    path = tmp_path / "kept.txt"
    atomic_write(path, "old")
    with pytest.raises(OSError, match="too large") as caught:
        atomic_write(path, "new and long")
    assert caught.value.filename == str(path)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]


def test_a_directory_in_place_of_the_file_is_named(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        atomic_write(tmp_path / "taken", "new")
    assert caught.value.filename == str(tmp_path / "taken")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]
