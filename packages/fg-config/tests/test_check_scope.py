"""Which templates `check` speaks of when it looks at some configs, and when one of them cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg_config.lint.checking import check

META = "meta: {config_name: c}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "templates" / "configs").mkdir(parents=True)
    (tmp_path / "meta.yaml").write_text("")
    return tmp_path


def write(project: Path, name: str, text: str) -> None:
    (project / "templates" / name).write_text(text)


def places(project: Path, configs: list[str] | None, *codes: str) -> list[tuple[str, str]]:
    findings = check(project, configs)
    return [(each.code, Path(each.span.file).name) for each in findings if each.span and each.code in codes]


def test_one_config_is_told_only_about_the_templates_that_it_loads(project):
    write(project, "configs/a.yaml", f"{META}-- set never = 1\n-- include 'part.yaml'\n\n#---- a.unused ----\nx: 1\n")
    write(project, "configs/b.yaml", f"{META}-- set other = 1\n\n#---- b.unused ----\nx: 1\n")
    write(project, "part.yaml", "-- set inner = 1\ny: 1\n")
    write(project, "lonely.yaml", "-- set alone = 1\n")
    of_a = [("FG0211", "a.yaml"), ("FG0212", "a.yaml"), ("FG0211", "part.yaml")]
    of_b = [("FG0211", "b.yaml"), ("FG0212", "b.yaml")]
    assert places(project, ["a.yaml"], "FG0211", "FG0212") == of_a
    assert places(project, ["b.yaml"], "FG0211", "FG0212") == of_b
    everything = sorted([*of_a, *of_b, ("FG0211", "lonely.yaml")])
    assert sorted(places(project, None, "FG0211", "FG0212")) == everything
    assert sorted(places(project, ["b.yaml", "a.yaml"], "FG0211", "FG0212")) == everything


def test_what_a_template_with_a_mistake_may_use_is_not_called_unused(project):
    text = "-- set my_lr = 1\n-- inclde 'x'\na: {{ my_lr }}\n-- include 'c.part'\n\n#---- c.part ----\nx: 1\n"
    write(project, "configs/c.yaml", META + text)
    assert [each.code for each in check(project)] == ["FG0201"]


def test_a_template_with_a_mistake_uses_only_what_stands_in_it(project):
    write(project, "configs/c.yaml", f"{META}-- inclde 'x'\n\n#---- c.part ----\n-- set my_lr = 1\nx: 1\n")
    assert places(project, None, "FG0211", "FG0212") == [("FG0212", "c.yaml"), ("FG0211", "c.yaml")]
