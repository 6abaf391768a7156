"""Whatever a config says, `check` answers, and what it answers points at a line that exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fg_config import check
from fg_config.lint.codes import CODES

LINES = [
    "a: 1e-3", "b: 'x ## y'", "c: |", "    == z", "    -- if x", "-- if a | default(0)", "-- endif", "-- else",
    "[block]", "    [inner]", "[block!]", "    == super()", "<< endblock", "-- block q required", "-- endblock q",
    "-- include 'part'", "-- include name", "-- include 'base.yaml'", "-- extends 'base.yaml'", "-- extends 'c.yaml'",
    "#--- part ---", "# --- banner ---", "#", "---", "word", "-- set ns = namespace(k=1)", "-- set ns.x = lr",
    "-- set name = 'part'", "== ns.y", "v: {{ ns.x }}", "w: {{ nowhere }}", "-- for i in [1, 2]", "n{{ i }}: {{ i }}",
    "-- endfor", "-- macro m(x)", "-- endmacro", "k: &k !call:int []", "l: [ *k, *k ]", "m: *missing", "n: !cal:f []",
    ".define: &h !factory:list []", "o: !call:f { x: [ *h ] }", "p: !call:.bits:F []", "q: !var v", "r: !list@n [ 1 ]",
    "s: !dlist { a: ~, b: 1 }", "t: [", "u: 'open", "}", "dynamic_args: [ { names: '--lr\"' } ]", "<<: { a: 1 }",
    "meta: { config_name: c }", "## check: ignore FG03", "## check: nothing", "", "", "    x: 1", "    max_step: 1",
    "    max_steps: 2", "args:", "\tz: 1", "é: ü", "? [ a ]", ": 1", "!!python/object:os.system", "&a &b 1",
    "%YAML 1.1",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(LINES), max_size=14).map(lambda lines: "\n".join(lines) + "\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "templates" / "configs").mkdir(parents=True)
    (tmp_path / "meta.yaml").write_text("")
    return tmp_path


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=TEXTS, base=TEXTS, meta=st.sampled_from(["", "nam: 1\n", "searchdir: [ templates, gone ]\n"]))
def test_every_finding_has_a_known_code_and_a_line_that_exists(project: Path, config: str, base: str, meta: str):
    (project / "meta.yaml").write_text(meta)
    (project / "templates" / "base.yaml").write_text(base)
    (project / "templates" / "configs" / "c.yaml").write_text(config)
    for finding in check(project):
        assert finding.code in CODES
        assert finding.span is not None
        lines = Path(finding.span.file).read_text().split("\n")
        assert 1 <= finding.span.line <= len(lines)
        if finding.severity != "error":  # what is missing at the end of a line is missing behind it
            assert finding.span.column <= len(lines[finding.span.line - 1])
