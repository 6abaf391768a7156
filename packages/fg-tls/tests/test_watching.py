"""Files that change, turn bad, and cannot be read for a moment."""

import pytest

from fg_tls.errors import TlsError
from fg_tls.watching import Watched


class File:
    """Something to watch, whose content, stamp and time a test sets."""

    def __init__(self):
        self.content = "first"
        self.stamp = 1
        self.time = 0.0
        self.reads = 0

    def read(self):
        self.reads += 1
        if self.content is None:
            raise TlsError("cannot read it")
        return self.content

    def set(self, content):
        self.content = content
        self.stamp += 1


@pytest.fixture
def file():
    return File()


@pytest.fixture
def watched(file):
    return Watched(file.read, lambda: file.stamp, what="what was there", now=lambda: file.time)


def test_what_does_not_change_is_read_once(file, watched):
    assert [watched.changed() for _ in range(3)] == [False] * 3
    assert (watched.value, file.reads) == ("first", 1)


def test_what_changes_is_read_once_more(file, watched):
    file.set("second")
    assert (watched.changed(), watched.value) == (True, "second")
    assert (watched.changed(), file.reads) == (False, 2)


def test_what_cannot_be_read_for_a_moment_is_read_later_although_it_stays_the_same(file, watched, caplog):
    file.set(None)
    assert (watched.changed(), watched.value) == (False, "first")
    file.content = "second"
    assert (watched.changed(), file.reads) == (False, 2)  # not with every request
    file.time = 1.5
    assert (watched.changed(), watched.value) == (True, "second")
    assert [record.getMessage() for record in caplog.records] == ["keeping what was there: cannot read it"]


def test_what_stays_bad_is_said_once(file, watched, caplog):
    file.set(None)
    for file.time in range(10):
        assert not watched.changed()
    assert (len(caplog.records), watched.value) == (1, "first")
    file.set(None)
    assert not watched.changed()
    assert len(caplog.records) == 2


def test_what_is_put_back_as_it_was_is_no_news(file, watched):
    file.set(None)
    watched.changed()
    file.set("first")
    file.stamp = 1
    assert (watched.changed(), watched.value) == (False, "first")


def test_what_was_never_good_is_not_watched(file):
    file.content = None
    with pytest.raises(TlsError):
        Watched(file.read, lambda: file.stamp, what="nothing")
