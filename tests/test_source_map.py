"""Every example config: each rendered line knows its template line, marks leave no trace, order means nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pytest
from jinja2.sandbox import SandboxedEnvironment

from fg_config import ConfigEnvironment, ProjectMeta, RenderedText
from fg_config.projects.meta import config_names, read_project_meta
from fg_config.rendering.names import template_globals, to_yaml_text
from fg_config.rendering.preprocess import preprocess
from fg_config.rendering.source import read_source

ROOT = Path(__file__).parents[1]
NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
PROJECTS = sorted(path.parent for path in (ROOT / "examples").rglob("meta.yaml") if "output_models" not in path.parts)


def _configs() -> list[tuple[Path, str]]:
    records = ((path, read_project_meta(path)) for path in PROJECTS)
    return [(path, name) for path, meta in records for name in config_names(meta.searchdir, meta.config_prefix)]


CONFIGS = _configs()
IDS = [f"{path.relative_to(ROOT / 'examples')}:{name}" for path, name in CONFIGS]


def environment_of(meta: ProjectMeta) -> ConfigEnvironment:
    return ConfigEnvironment(meta.search_path, meta.variables, now=NOW)


def rendered(path: Path, name: str) -> RenderedText:
    meta = read_project_meta(path)
    return environment_of(meta).preprocess(f"{meta.config_prefix}/{name}")


def written_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, each with the offset of its first word."""
    return ((found.start(1), found[1]) for found in re.finditer(r"^[^\S\n]*(\S.*)$", text, re.MULTILINE))


def unmapped(text: RenderedText) -> list[str]:
    """Lines with text that have no mark of their own and are not the further lines of an expression."""
    return [line for offset, line in written_lines(text) if not _is_mapped(text, offset)]


def _is_mapped(text: RenderedText, offset: int) -> bool:
    source_map = text.source_map
    assert source_map is not None
    index = bisect_right(source_map.offsets, offset) - 1
    begin = text.rfind("\n", 0, offset) + 1
    return index >= 0 and (source_map.offsets[index] >= begin or source_map.columns[index] == 0)


@pytest.mark.parametrize(("path", "name"), CONFIGS, ids=IDS)
def test_every_line_knows_its_template(path, name):
    text = rendered(path, name)
    lost = unmapped(text)
    assert len(lost) <= 0.07 * len(list(written_lines(text))), lost


def test_nearly_every_line_of_all_configs_knows_its_template():
    texts = [rendered(path, name) for path, name in CONFIGS]
    total = sum(len(list(written_lines(text))) for text in texts)
    lost = [line for text in texts for line in unmapped(text)]
    assert total > 1000 and len(lost) <= 0.01 * total, lost


@pytest.mark.parametrize(("path", "name"), CONFIGS, ids=IDS)
def test_a_literal_line_stands_in_its_template(path, name):
    """Where a column is known, the text from there on is that of the template."""
    text = rendered(path, name)
    checked = 0
    for offset, line in written_lines(text):
        span = text.span(offset)
        if span.column == 0:
            continue
        written = Path(span.file).read_text().split("\n")[span.line - 1][span.column - 1 :]
        literal = written.partition("{")[0].partition(" ##")[0]
        assert line.startswith(literal.strip()), (span, line)
        checked += 1
    assert checked > 10


@pytest.mark.parametrize(("path", "name"), CONFIGS, ids=IDS)
def test_marks_leave_no_trace(path, name):
    """The same text comes from Jinja2 without our compiler: no marks, no limits, no cache."""
    meta = read_project_meta(path)
    environment = environment_of(meta)
    known: dict[str, str] = {}

    def load(template: str) -> str | None:
        if template not in known:
            file = environment.find_template(template)
            if file is None:
                return None
            own, *parts = read_source(template, file)
            known.update({part.name: part.text for part in parts})
            known[template] = own.text
        return preprocess(known[template])

    plain = SandboxedEnvironment(
        loader=jinja2.FunctionLoader(load), trim_blocks=True, undefined=jinja2.StrictUndefined, cache_size=0
    )
    plain.filters["toyaml"] = to_yaml_text
    plain.globals.update({**template_globals(NOW), **meta.variables})
    config = f"{meta.config_prefix}/{name}"
    assert str(environment.preprocess(config)) == plain.get_template(config).render()


def test_every_order_and_every_process_gives_the_same_text():
    forwards = {case: str(rendered(*case)) for case in CONFIGS}
    backwards = {case: str(rendered(*case)) for case in reversed(CONFIGS)}
    assert forwards == backwards
    code = """
        import sys
        from test_source_map import CONFIGS, rendered
        sys.stdout.write(rendered(*CONFIGS[int(sys.argv[1])]))
    """
    for number in (0, len(CONFIGS) // 2, len(CONFIGS) - 1):
        command = [sys.executable, "-c", textwrap.dedent(code), str(number)]
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout == forwards[CONFIGS[number]]


def listed(*paths: Path) -> list[Any]:
    command = [sys.executable, "-m", "fg_config", "ls", "--json", *map(str, paths)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout)


def test_ls_says_of_a_project_among_others_what_it_says_of_it_alone():
    together = listed(*PROJECTS)
    assert together == [entry for path in PROJECTS for entry in listed(path)]
    assert together == list(reversed(listed(*reversed(PROJECTS))))


def test_pp_prints_what_the_library_renders():
    path, name = CONFIGS[-1]
    command = [sys.executable, "-m", "fg_config", "pp", "-p", str(path), "-t", name]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    meta = read_project_meta(path)
    text = ConfigEnvironment(meta.search_path, meta.variables).preprocess(f"{meta.config_prefix}/{name}")
    assert _without_times(printed) == _without_times(text.removesuffix("\n") + "\n")


def _without_times(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d", "TIME", text)
