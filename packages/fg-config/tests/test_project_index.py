"""The index of a project: definitions, uses, blocks to override, completion, and what a line comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg_config.indexing.lookup import blocks_of_parents, completions, definition_of, hover, references_of
from fg_config.indexing.project_index import ProjectIndex, index_project

ROOT = """\
-- set ns = namespace()
-- set ns.width = 64
[model]
.define: &bits !call:dict []
[outputs]
meta: { config_name: c }
"""
MIDDLE = """\
-- extends 'root.yaml'
[outputs]
    == super()
-- block extra
model: !call:dict { width: {{ ns.width }}, bits: *bits }
-- endblock extra
"""
LEAF = """\
-- extends 'middle.yaml'
[model]
.define: &bits !call:list []
[extra]
    == super()
args:
    lr: {{ lr | default(0.1) }}
    seed: 1
    -- include 'my.part'

#---- my.part ----
    seed: 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "meta.yaml").write_text("")
    configs = tmp_path / "templates" / "configs"
    configs.mkdir(parents=True)
    for name, text in {"root": ROOT, "middle": MIDDLE}.items():
        (tmp_path / "templates" / f"{name}.yaml").write_text(text)
    (configs / "leaf.yaml").write_text(LEAF)
    (configs / "plain.yaml").write_text("-- extends 'middle.yaml'\n")
    return tmp_path / "templates"


@pytest.fixture
def index(folder: Path) -> ProjectIndex:
    return index_project(folder.parent)


def places(folder: Path, spans) -> list[tuple[str, int, int]]:
    return [(Path(span.file).relative_to(folder).as_posix(), span.line, span.column) for span in spans]


def at(folder: Path, name: str, line: int, text: str) -> tuple[str, int, int]:
    """File, line and column of `text`, as an editor would send them."""
    path = folder / name
    return str(path), line, path.read_text().splitlines()[line - 1].index(text) + 1


def test_templates_are_followed_to_files_and_to_sub_templates(index, folder):
    assert places(folder, definition_of(index, *at(folder, "configs/leaf.yaml", 1, "middle"))) == [
        ("middle.yaml", 1, 0)
    ]
    label = definition_of(index, *at(folder, "configs/leaf.yaml", 9, "my.part"))
    assert places(folder, label) == [("configs/leaf.yaml", 11, 0)]


def test_a_block_is_followed_to_the_parents_nearest_first(index, folder):
    found = definition_of(index, *at(folder, "middle.yaml", 2, "outputs"))
    assert places(folder, found) == [("root.yaml", 5, 2)]
    assert places(folder, definition_of(index, *at(folder, "configs/leaf.yaml", 4, "extra"))) == [
        ("middle.yaml", 4, 10)
    ]
    assert places(folder, definition_of(index, *at(folder, "root.yaml", 3, "model"))) == [("root.yaml", 3, 2)]


def test_a_variable_is_followed_to_what_sets_it(index, folder):
    assert places(folder, definition_of(index, *at(folder, "middle.yaml", 5, "ns.width"))) == [("root.yaml", 2, 8)]
    assert places(folder, references_of(index, "variable", "ns.width")) == [("root.yaml", 2, 8), ("middle.yaml", 5, 31)]
    assert definition_of(index, *at(folder, "configs/leaf.yaml", 7, "lr |")) == []


def test_an_alias_is_followed_to_the_anchors_of_the_configs_that_show_it(index, folder):
    found = definition_of(index, *at(folder, "middle.yaml", 5, "bits }"))
    assert sorted(places(folder, found)) == [("configs/leaf.yaml", 3, 11), ("root.yaml", 4, 11)]
    only_leaf = index_project(folder.parent, ["leaf.yaml"])
    found = definition_of(only_leaf, *at(folder, "middle.yaml", 5, "bits }"))
    assert places(folder, found) == [("configs/leaf.yaml", 3, 11)]


def test_import_specs_and_targets_have_their_places(index, folder):
    assert places(folder, references_of(index, "spec", "list")) == [("configs/leaf.yaml", 3, 22)]
    assert places(folder, references_of(index, "target", "args")) == [("configs/leaf.yaml", 6, 1)]


def test_a_place_without_a_name_has_no_definition(index, folder):
    assert definition_of(index, str(folder / "root.yaml"), 6, 20) == []
    assert definition_of(index, str(folder / "nowhere.yaml"), 1) == []


def test_the_blocks_that_a_template_can_override(index, folder):
    blocks = blocks_of_parents(index, "configs/leaf.yaml")
    assert {name: Path(span.file).name for name, span in blocks.items()} == {
        "outputs": "middle.yaml",
        "extra": "middle.yaml",
        "model": "root.yaml",
    }
    assert blocks_of_parents(index, "root.yaml") == {}


def test_a_computed_parent_is_known_from_the_render(folder):
    text = "-- set base = 'middle.yaml'\n-- extends base\n"
    (folder / "configs" / "computed.yaml").write_text(text)
    assert index_project(folder.parent).ancestors("configs/computed.yaml") == ["middle.yaml", "root.yaml"]


def test_completion(index):
    assert completions(index, "block", template="middle.yaml") == ["model", "outputs"]
    assert completions(index, "anchor", "b") == ["bits"]
    assert completions(index, "target") == ["args", "meta", "model"]
    assert completions(index, "template", "my") == ["my.part"] and "middle.yaml" in completions(index, "template")
    assert completions(index, "spec") == ["dict", "list"]


def test_hovering_says_what_a_line_comes_to(index, folder):
    leaf = str(folder / "configs" / "leaf.yaml")
    assert hover(index, leaf, 7, "leaf.yaml") == f"args.lr = 0.1\n{leaf}:7: 0.1"
    lines = (hover(index, leaf, 8, "leaf.yaml") or "").splitlines()
    assert lines == ["args.seed = 2", f"{leaf}:12:11 (in sub-template my.part): 2", f"{leaf}:8:11: 1"]
    assert hover(index, str(folder / "middle.yaml"), 5, "plain.yaml") == (
        f"model = !call:dict\n{folder / 'middle.yaml'}:5:8: !call:dict"
    )
    assert hover(index, leaf, 1, "leaf.yaml") is None
    assert hover(index, leaf, 7, "no.yaml") is None


def test_what_cannot_be_read_is_left_out(folder):
    (folder / "broken.yaml").write_text("-- if\n")
    (folder / "configs" / "stopped.yaml").write_text("a: &one 1\nb: [ *one\n")
    index = index_project(folder.parent)
    assert "broken.yaml" not in completions(index, "template")
    assert references_of(index, "block", "extra") and completions(index, "anchor") == ["bits"]
