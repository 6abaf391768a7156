"""The records of `hatch run bench`, and the page about them."""

import json
import math
import re

import pytest

from tools.bench.__main__ import BENCHMARKS
from tools.bench.measure import RECORDS, write_record

PAGE = RECORDS.parent / "benchmarks.md"


def read(path):
    return json.loads(path.read_text("utf-8"), parse_constant=lambda word: pytest.fail(f"{path.name} holds {word}"))


def test_what_is_no_number_is_stored_as_null(tmp_path):
    stored = write_record("some", {"ms": math.nan, "of": [math.inf, 1.5]}, tmp_path)
    assert read(stored) == {"ms": None, "of": [None, 1.5]}


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.name)
def test_records_belong_to_a_benchmark_and_say_where_they_were_made(path):
    assert path.stem in BENCHMARKS
    assert read(path)["machine"]["packages"]


def test_the_page_names_every_benchmark_and_links_only_to_records_that_exist():
    text = PAGE.read_text("utf-8")
    assert set(re.findall(r"`hatch run bench (\w+)`", text)) == set(BENCHMARKS)
    linked = set(re.findall(r"\(benchmarks/(\w+)\.json\)", text))
    assert linked <= {path.stem for path in RECORDS.glob("*.json")}
