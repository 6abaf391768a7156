"""What is known about a template without rendering it."""

from __future__ import annotations

from fg_config.rendering.facts import DefaultFact, TemplateFacts
from fg_config.rendering.render import compile_template
from fg_config.rendering.source import TemplateSource

TEXT = """\
-- extends 'base.yaml'
-- set top = lr | default(1.0e-3)

[trainer_args]
    == super()
    lr: {{ ns.lr | default(top) }}
    [inner]
        seed: 7
[optimizer]
betas: [ {{ beta }}, 1 ]
    -- set ns.done = true
    -- include chosen
"""


def facts() -> TemplateFacts:
    return compile_template(TemplateSource(name="t", text=TEXT, file="t.yaml")).facts


def test_blocks_know_their_lines_and_whether_they_keep_the_parents_text():
    blocks = {block.name: block for block in facts().blocks}
    assert [(b.name, b.line, b.end_line, b.outer) for b in blocks.values()] == [
        ("trainer_args", 4, 8, None),
        ("inner", 7, 8, "trainer_args"),
        ("optimizer", 9, 12, None),
    ]
    assert blocks["trainer_args"].calls_super and not blocks["inner"].calls_super


def test_the_innermost_block_of_a_line():
    assert [getattr(facts().block_at(line), "name", None) for line in (2, 6, 8, 10)] == [
        None,
        "trainer_args",
        "inner",
        "optimizer",
    ]


def test_expressions_and_assignments_name_what_they_are_computed_from():
    (default,) = facts().expressions[1].defaults
    assert facts().expressions[1].names == ("ns.lr", "top")
    assert default == DefaultFact(name="ns.lr", constant=False, value=None)
    assert [(fact.target, fact.names, [d.value for d in fact.defaults]) for fact in facts().sets] == [
        ("top", ("lr",), [0.001]),
        ("ns.done", (), []),
    ]


def test_every_name_that_is_read_has_its_line():
    assert ("beta", 10) in facts().names_read
    assert ("chosen", 12) in facts().names_read
    assert not [name for name, _ in facts().names_read if name == "ns.done"]
