"""What the help of a doubt says is followed to the letter, and does what was meant; what is right is not doubted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg_config import ConfigEnvironment, YamlError

BASE = "[optimizer]\nlr: 1\n    [betas]\nbeta: 0.9\n\n[model]\n-- include 'inc.yaml'\n\n"
INC = "[model_config]\nlayers: 2\n\n"


def _load(folder: Path, **texts: str):
    for name, text in {"base": BASE, "inc": INC, **texts}.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return ConfigEnvironment([folder]).load("c.yaml")


def test_a_block_of_an_included_template_is_overridden_as_the_help_says(tmp_path):
    loaded = _load(tmp_path, c="-- extends 'base.yaml'\n[model_config]\nlayers: 4\n\n")
    (warning,) = loaded.warnings
    assert warning.code == "FG0207"
    assert warning.help == (
        "[model] of 'base.yaml' includes it: override that with `-- include 'c.model'`, "
        "and write `#---- c.model ----`, `-- extends 'inc.yaml'`, [model_config]"
    )
    assert loaded.graph.root["layers"] == 2
    child = "-- extends 'base.yaml'\n[model]\n-- include 'c.model'\n\n"
    mended = _load(tmp_path, c=f"{child}#---- c.model ----\n-- extends 'inc.yaml'\n[model_config]\nlayers: 4\n\n")
    assert mended.warnings == ()
    assert mended.graph.root["layers"] == 4


def test_a_label_that_the_include_looks_for_first_is_the_way(tmp_path):
    base = "[model]\n-- include ['this.model', 'inc.yaml']\n\n"
    loaded = _load(tmp_path, base=base, c="-- extends 'base.yaml'\n[model_config]\nlayers: 4\n\n")
    (warning,) = loaded.warnings
    assert "`#---- this.model ----`, `-- extends 'inc.yaml'`, [model_config]" in warning.help
    child = "-- extends 'base.yaml'\n\n#---- this.model ----\n-- extends 'inc.yaml'\n[model_config]\nlayers: 4\n\n"
    mended = _load(tmp_path, base=base, c=child)
    assert (mended.warnings, mended.graph.root["layers"]) == ((), 4)


def test_an_include_outside_of_blocks_cannot_be_changed_by_a_child(tmp_path):
    loaded = _load(
        tmp_path, base="-- include 'inc.yaml'\n\n", c="-- extends 'base.yaml'\n[model_config]\nlayers: 4\n\n"
    )
    (warning,) = loaded.warnings
    assert warning.help == (
        "'base.yaml' includes it outside of blocks: put that include into a block, which can be overridden"
    )


def test_a_label_given_twice_is_mended_as_the_help_says(tmp_path):
    base = "[model]\n-- include 'small.model'\n\n#---- small.model ----\n[size]\nlayers: 2\n\n"
    label = "#---- small.model ----\n[size]\nlayers: 4\n\n"
    loaded = _load(tmp_path, base=base, c=f"-- extends 'base.yaml'\n\n{label}")
    (warning,) = loaded.warnings
    assert (warning.code, loaded.graph.root["layers"]) == ("FG0210", 2)
    assert warning.help == (
        "this one is used, because its file is read last; give the other a name of its own, begin it with "
        "`-- extends 'small.model'`, and include it in [model] instead of 'small.model'"
    )
    own = "#---- own.model ----\n-- extends 'small.model'\n[size]\nlayers: 4\n\n"
    mended = _load(tmp_path, base=base, c=f"-- extends 'base.yaml'\n[model]\n-- include 'own.model'\n\n{own}")
    assert (mended.warnings, mended.graph.root["layers"]) == ((), 4)


@pytest.mark.parametrize(
    "child",
    [
        "[optimizer]\n== super()\n    [betas]\nbeta: 0.8\n\n",
        "[optimizer]\nlr: 2\n    [betas]\nbeta: 0.8\n\n",
        "[betas]\nbeta: 0.8\n\n",
        "[optimizer]\n== super()\n\n[betas]\nbeta: 0.8\n\n",
        "[optimizer]\nlr: 2\n== self.betas()\n\n[betas]\nbeta: 0.8\n\n",
    ],
    ids=["inside super", "inside anew", "alone", "beside super", "called by name"],
)
def test_a_block_that_is_rendered_is_not_doubted(tmp_path, child):
    loaded = _load(tmp_path, c=f"-- extends 'base.yaml'\n{child}")
    assert (loaded.warnings, loaded.graph.root["beta"]) == ((), 0.8)


def test_super_of_super_keeps_what_the_grandparent_says(tmp_path):
    middle = "-- extends 'base.yaml'\n[optimizer]\nlr: 2\n\n"
    loaded = _load(
        tmp_path, middle=middle, c="-- extends 'middle.yaml'\n[optimizer]\n== super.super()\n\n[betas]\nbeta: 0.8\n\n"
    )
    assert (loaded.warnings, loaded.graph.root["lr"], loaded.graph.root["beta"]) == ((), 1, 0.8)


@pytest.mark.parametrize("middle", ["", "-- extends 'base.yaml'\n[optimizer]\nlr: 2\n\n"], ids=["child", "middle"])
def test_a_block_inside_a_replaced_one_is_doubted_by_whoever_replaced_it(tmp_path, middle):
    child = "-- extends 'middle.yaml'\n" if middle else "-- extends 'base.yaml'\n[optimizer]\nlr: 2\n\n"
    loaded = _load(tmp_path, middle=middle, c=f"{child}[betas]\nbeta: 0.8\n\n")
    (warning,) = loaded.warnings
    by = tmp_path / ("middle.yaml" if middle else "c.yaml")
    assert warning.message == f"block 'betas' is never rendered: {by}:2 replaces [optimizer], the block around it"
    assert "beta" not in loaded.graph.root


def test_text_that_looks_like_a_statement_is_not_blamed_for_a_mistake_below_it():
    text = "a:\n  command: |\n    --set lr = 4\n  b: 1\n  c: 2\n - d\n"
    with pytest.raises(YamlError) as raised:
        ConfigEnvironment([]).load_from_ppstring(text)
    assert raised.value.code == "FG0300"
    assert raised.value.span is not None and raised.value.span.line == 6
