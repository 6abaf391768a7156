from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fg_data_server import (
    ArrowSource,
    DatasetContentError,
    EmptyDatasetError,
    FingerprintMismatchError,
    MissingDatasetError,
    UnknownColumnError,
)

pyarrow = pytest.importorskip("pyarrow")

TEXTS = [f"Zeile {n}, 世界" for n in range(1000)]


@pytest.fixture(autouse=True)
def own_directories(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_CACHE_DIR", str(tmp_path / "user" / "cache"))


def write(path: Path, texts=TEXTS, *, rows_per_batch: int = 64, stream: bool = True, **columns) -> Path:
    table = pyarrow.table({"text": texts, "n": list(range(len(texts)))} | columns)
    new = pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file
    with new(os.fspath(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=rows_per_batch)
    minute_ago = time.time_ns() - 60 * 10**9
    os.utime(path, ns=(minute_ago, minute_ago))
    return path


@pytest.mark.parametrize("stream", [True, False])
def test_rows_of_many_batches_come_in_the_order_asked(tmp_path, stream):
    source = ArrowSource(write(tmp_path / "a.arrow", stream=stream))
    rows = np.random.default_rng(0).integers(0, 1000, 500)
    batch = source.take(rows)
    assert source.num_rows == 1000
    assert batch.text == [TEXTS[row] for row in rows]
    assert batch.column("n") == rows.tolist()
    assert len(source.take(np.array([], dtype=np.int64)).text) == 0


def test_only_the_columns_asked_for_are_read(tmp_path):
    source = ArrowSource(write(tmp_path / "a.arrow"), columns=["text"])
    assert list(source.take(np.array([3])).columns) == ["text"]
    with pytest.raises(UnknownColumnError, match=r"has no column 'txt'. Did you mean text"):
        ArrowSource(tmp_path / "a.arrow", columns=["txt"])


def test_the_fingerprint_is_content_schema_and_columns(tmp_path):
    one = ArrowSource(write(tmp_path / "a.arrow"))
    assert one.fingerprint == ArrowSource(write(tmp_path / "copy.arrow")).fingerprint
    assert one.fingerprint != ArrowSource(tmp_path / "a.arrow", columns=["text"]).fingerprint
    changed = [*TEXTS[:-1], TEXTS[-1].upper()]
    assert one.fingerprint != ArrowSource(write(tmp_path / "b.arrow", changed)).fingerprint


def test_a_file_changed_while_in_use_is_noticed(tmp_path):
    source = ArrowSource(write(tmp_path / "a.arrow"))
    os.utime(tmp_path / "a.arrow")
    with pytest.raises(FingerprintMismatchError, match=r"was changed while it was in use"):
        source.take(np.array([0]))


def test_files_that_are_not_arrow_missing_or_empty_are_named(tmp_path):
    (tmp_path / "a.arrow").write_text("this is not an Arrow file at all")
    with pytest.raises(DatasetContentError, match=r"a.arrow is not an Arrow IPC file or stream"):
        ArrowSource(tmp_path / "a.arrow")
    with pytest.raises(MissingDatasetError, match=r"Did you mean a.arrow"):
        ArrowSource(tmp_path / "b.arrow")
    with pytest.raises(EmptyDatasetError, match=r"holds no row"):
        ArrowSource(write(tmp_path / "empty.arrow", []))


def test_without_pyarrow_the_error_names_the_extra(tmp_path):
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import fg_data_server as d\n"
        "try: d.ArrowSource(sys.argv[1])\n"
        "except d.MissingExtraError as error: print(error)\n"
    )
    path = write(tmp_path / "a.arrow")
    command = [sys.executable, "-c", program, os.fspath(path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "pip install 'fg-data-server[datasets]'" in told
