from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fg_data_server import (
    DatasetContentError,
    EmptyDatasetError,
    FingerprintMismatchError,
    MissingDatasetError,
    SettingError,
    TextSource,
    UnknownColumnError,
    index,
    scan,
)


@pytest.fixture(autouse=True)
def own_directories(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_CACHE_DIR", str(tmp_path / "user" / "cache"))


def write(path: Path, content: str | bytes, *, age: float = 60) -> Path:
    """A file last changed `age` seconds ago."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    changed = time.time_ns() - int(age * 1e9)
    os.utime(path, ns=(changed, changed))
    return path


def documents(path: Path, **options) -> list[str]:
    source = TextSource(path, **options)
    return list(source.take(np.arange(source.num_rows)).text)


CASES = {
    "simple": ("one\ntwo\n\nthree\n", ["one\ntwo", "three"]),
    "no newline at the end": ("one\n\ntwo", ["one", "two"]),
    "many blank lines": ("\n\n\none\n\n \t \n\n\ntwo\n\n\n", ["one", "two"]),
    "windows line ends": ("one\r\ntwo\r\n\r\nthree\r\n", ["one\ntwo", "three"]),
    "byte order mark": ("\ufeffone\n\ntwo", ["one", "two"]),
    "other scripts": ("Grüße, 世界\n\n🙂 done\n", ["Grüße, 世界", "🙂 done"]),
    "indentation stays": ("  one\n    two  \n\nthree", ["  one\n    two  ", "three"]),
    "separators of Unicode are text": ("a\u2028b\u0085c\n\nd\ve", ["a\u2028b\u0085c", "d\ve"]),
    "a return alone is text": ("a\rb\n\nc", ["a\rb", "c"]),
}


@pytest.mark.parametrize("case", CASES)
def test_documents_between_blank_lines(tmp_path, case):
    content, expected = CASES[case]
    assert documents(write(tmp_path / "a.txt", content)) == expected


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("documents", ["blank_line", "line", "jsonl"])
def test_a_scan_in_small_chunks_finds_the_same(tmp_path, case, documents):
    path = write(tmp_path / "a.txt", CASES[case][0])
    digest, spans = scan.scan_text(path, documents)
    assert digest == scan.content_digest(path)
    for chunk_bytes in range(1, 12):
        in_chunks = scan.scan_text(path, documents, chunk_bytes=chunk_bytes)
        assert in_chunks[0] == digest
        assert np.array_equal(in_chunks[1], spans)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(alphabet="ab \t\n\r", max_size=60))
def test_documents_are_those_of_a_regular_expression(tmp_path, content):
    path = write(tmp_path / "a.txt", content, age=0)
    blocks = re.findall(r"(?:^[^\n]*[^\s][^\n]*(?:\n|\Z))+", content, flags=re.MULTILINE)
    # One line end is cut off, then those inside are made uniform.
    expected = [re.sub(r"\r?\n\Z|\r\Z", "", block).replace("\r\n", "\n") for block in blocks]
    if expected:
        assert documents(path) == expected
        lines = [re.sub(r"\r\Z", "", line) for line in content.split("\n") if line.strip()]
        assert documents(path, documents="line") == lines
    else:
        with pytest.raises(EmptyDatasetError, match=f"a.txt holds no document.*{len(content)} bytes"):
            TextSource(path)


def test_one_document_per_line(tmp_path):
    assert documents(write(tmp_path / "a.txt", "one\n\ntwo\r\n three"), documents="line") == ["one", "two", " three"]


def test_fields_of_json_lines(tmp_path):
    lines = [{"text": "one\ntwo", "n": 1}, {"text": ""}, {"text": "Grüße 🙂"}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    assert documents(path) == ["one\ntwo", "", "Grüße 🙂"]
    path = write(tmp_path / "b.json", '{"body": "x"}\r\n{"body": "y"}')
    assert documents(path, documents="jsonl", column="body") == ["x", "y"]


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        ('{"text": "a"}\n{"text": ', DatasetContentError, r"a.jsonl: document 1 \(at byte 14\) is not JSON"),
        ('["a"]', DatasetContentError, "is a JSON list; an object is needed"),
        ('{"texts": "a"}', UnknownColumnError, "has no field 'text'. Did you mean texts"),
        ('{"text": 3}', DatasetContentError, "field 'text' is int, not text"),
        (b'{"text": "\xff"}', DatasetContentError, "is not UTF-8: invalid start byte at byte 10"),
    ],
)
def test_lines_that_are_not_what_was_promised_are_named(tmp_path, content, error, text):
    with pytest.raises(error, match=text):
        documents(write(tmp_path / "a.jsonl", content))


def test_bytes_that_are_no_utf8_are_named_with_their_place(tmp_path):
    path = write(tmp_path / "a.txt", b"fine\n\nab\xe4 latin\n")
    assert list(TextSource(path).take(np.array([0])).text) == ["fine"]
    with pytest.raises(DatasetContentError, match=r"a.txt: document 1 is not UTF-8: .* at byte 8. Convert the file"):
        documents(path)


def test_a_missing_file_is_answered_with_the_near_one(tmp_path):
    write(tmp_path / "shakespeare.txt", "x")
    with pytest.raises(MissingDatasetError, match=r"no data file .*shakespear.txt. Did you mean shakespeare.txt\?"):
        TextSource(tmp_path / "shakespear.txt")
    with pytest.raises(MissingDatasetError, match=r"the directory .*nowhere does not exist"):
        TextSource(tmp_path / "nowhere" / "a.txt")
    with pytest.raises(MissingDatasetError, match=r"is a directory; name a file in it. There is: shakespeare.txt"):
        TextSource(tmp_path)


@pytest.mark.parametrize("place", ["data/verses.jsonl", "verses.jsonl"])
def test_a_missing_file_of_a_project_is_answered_with_the_script_that_makes_it(tmp_path, place):
    project = tmp_path / "my project"
    project.mkdir()
    (project / "prepare_data.py").touch()
    with pytest.raises(MissingDatasetError) as outside:
        TextSource(project / place)
    assert "prepare_data.py" not in str(outside.value)
    (project / "meta.yaml").touch()
    with pytest.raises(MissingDatasetError) as caught:
        TextSource(project / place)
    assert str(caught.value).endswith(f" The data of this project is made by: python '{project}/prepare_data.py'")


def test_settings_that_cannot_work_are_named(tmp_path):
    path = write(tmp_path / "a.txt", "x")
    with pytest.raises(SettingError, match=r"documents is 'paragraph'; it must be one of blank_line, line, jsonl"):
        TextSource(path, documents="paragraph")
    with pytest.raises(SettingError, match=r"column='body' means nothing for documents='blank_line'"):
        TextSource(path, column="body")


def test_the_fingerprint_is_the_content_and_how_it_is_read(tmp_path):
    one = TextSource(write(tmp_path / "a.txt", "one\n\ntwo"))
    copy = TextSource(write(tmp_path / "copy.txt", "one\n\ntwo", age=5))
    assert one.fingerprint == copy.fingerprint
    assert one.fingerprint != TextSource(tmp_path / "a.txt", documents="line").fingerprint
    assert one.fingerprint != TextSource(write(tmp_path / "b.txt", "one\n\ntwO")).fingerprint
    lines = write(tmp_path / "a.jsonl", '{"text": "a", "b": "b"}')
    assert TextSource(lines).fingerprint != TextSource(lines, column="b").fingerprint


def sidecars(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "user" / "cache" / "rows").glob("*.rows"))


def test_a_known_file_is_not_read_again(tmp_path, caplog):
    caplog.set_level("INFO", "fg_data_server.index")
    path = write(tmp_path / "a.txt", "one\n\ntwo\n")
    first, again = TextSource(path), TextSource(path)
    assert again.fingerprint == first.fingerprint
    assert documents(path) == ["one", "two"]
    assert [record.message for record in caplog.records] == [f"Reading {path} (0.0 MB) to find its rows"]
    assert documents(path, documents="line") == ["one", "two"]
    assert len(caplog.records) == len(sidecars(tmp_path)) == 2


def test_the_index_may_live_elsewhere(tmp_path):
    TextSource(write(tmp_path / "a.txt", "one"), cache_dir=tmp_path / "own")
    assert len(list((tmp_path / "own").glob("*.rows"))) == 1
    assert sidecars(tmp_path) == []


def test_without_a_cache_directory_every_start_reads_the_file(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FORGATHER_CACHE_DIR", "")
    caplog.set_level("INFO", "fg_data_server.index")
    path = write(tmp_path / "a.txt", "one\n\ntwo\n")
    assert documents(path) == documents(path) == ["one", "two"]
    assert [record.message for record in caplog.records] == [f"Reading {path} (0.0 MB) to find its rows"] * 2
    assert sorted(tmp_path.rglob("*")) == [path]


def change_size(path: Path) -> None:
    status = path.stat()
    path.write_text("one\n\ntwo\n\nthree\n")
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


def change_time(path: Path) -> None:
    write(path, "ONE\n\nTWO\n", age=30)


def change_inode(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_text("ONE\n\nTWO\n")
    os.utime(other, ns=(status.st_mtime_ns, status.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [change_size, change_time, change_inode])
def test_a_changed_file_is_read_again(tmp_path, change):
    path = write(tmp_path / "a.txt", "one\n\ntwo\n")
    before = TextSource(path).fingerprint
    change(path)
    assert documents(path) == path.read_text().strip().split("\n\n")
    assert TextSource(path).fingerprint != before


def test_a_file_that_may_still_be_changing_is_not_remembered(tmp_path):
    path = write(tmp_path / "a.txt", "one\n", age=0)
    stamp = path.stat()
    assert documents(path) == ["one"]
    assert sidecars(tmp_path) == []
    path.write_text("two\n")  # as long as before, and within the resolution of the clock
    os.utime(path, ns=(stamp.st_mtime_ns, stamp.st_mtime_ns))
    assert documents(path) == ["two"]


@pytest.mark.parametrize("damage", [b"", b"nonsense", "cut", "longer", "header"])
def test_a_damaged_index_is_made_again(tmp_path, caplog, damage):
    path = write(tmp_path / "a.txt", "one\n\ntwo\n")
    documents(path)
    (sidecar,) = sidecars(tmp_path)
    good = sidecar.read_bytes()
    bad = {"cut": good[:-8], "longer": good + b"x", "header": good.replace(b"rows", b"raws")}
    sidecar.write_bytes(damage if isinstance(damage, bytes) else bad[damage])
    assert documents(path) == ["one", "two"]
    assert "making it again" in caplog.text
    assert sidecar.read_bytes() == good


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, caplog):
    blocked = write(tmp_path / "blocked", "a file where the cache directory should be")
    assert documents(write(tmp_path / "a.txt", "one"), cache_dir=blocked / "cache") == ["one"]
    assert "Cannot keep the row index" in caplog.text


def test_a_file_changed_in_place_while_in_use_is_noticed(tmp_path):
    path = write(tmp_path / "a.txt", "one\n\ntwo\n")
    source = TextSource(path)
    write(path, "one\n\nTWO\n", age=1)
    with pytest.raises(FingerprintMismatchError, match=r"a.txt was changed while it was in use"):
        source.take(np.array([0]))


def test_a_file_replaced_while_in_use_stays_readable(tmp_path):
    path = write(tmp_path / "a.txt", "one\n\ntwo\n")
    source = TextSource(path)
    change_inode(path)
    assert source.take(np.array([1])).text == ["two"]


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path):
    path = write(tmp_path / "a.txt", "one\n")

    def growing(file, kind="line"):
        found = scan.scan_text(file, kind)
        with file.open("a") as stream:
            stream.write("two\n")
        return found

    with pytest.raises(FingerprintMismatchError, match=r"changed while it was being read"):
        index.row_index(path, "line", growing, cache_dir=tmp_path)
    assert list(tmp_path.glob("*.rows")) == []
