"""Which blocks a template can override: those that the templates it extends render, down to the root."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fg_config.rendering.chains import request_step
from fg_config.rendering.compiling import CompiledTemplate
from fg_config.rendering.facts import BlockFact, SetFact
from fg_config.rendering.render import Render


class Inclusion(NamedTuple):
    """A template that another one includes in `block`, by the name `asked`.

    `before` is a name that the include would take instead, if there were a template of that name.
    """

    asker: CompiledTemplate
    asked: str
    block: str | None
    before: str | None


class Replaced(NamedTuple):
    """A block that says nothing any more, because `template` replaced `around`, the block that it stands in."""

    template: CompiledTemplate
    around: BlockFact

    @property
    def place(self) -> str:
        """`file:line` of the block that replaces."""
        return f"{self.template.source.file}:{self.around.line + self.template.source.first_line - 1}"


def lineage(render: Render, template: CompiledTemplate) -> list[CompiledTemplate]:
    """`template` and what it extends, the root last."""
    found = [template]
    while (parent := render.parent_of(found[-1])) is not None and parent not in found:
        found.append(parent)
    return found


def rendered_blocks(line: Sequence[CompiledTemplate]) -> set[str]:
    """The blocks that are rendered when the first of `line` is, which extends the others."""
    calls = (name for template in line for name, _ in template.facts.names_read if name.startswith("self."))
    todo = [*(block.name for block in line[-1].facts.outer_blocks), *(name.split(".")[1] for name in calls)]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _inner(line, name)
    return found


def _inner(line: Sequence[CompiledTemplate], name: str) -> Iterator[str]:
    """The blocks in the text of a block: that of its youngest version, and of the older ones that `super()` repeats."""
    leaps = False  # `super.super()` also repeats what the parent replaced
    for template in line:
        block = template.facts.block(name)
        if block is not None:
            leaps = leaps or any(read.startswith("super.") for read, _ in template.facts.names_read)
            yield from (inner.name for inner in template.facts.blocks if inner.outer == name)
            if not (block.calls_super or leaps):
                return


def replaced_around(line: Sequence[CompiledTemplate], name: str) -> Replaced | None:
    """Who replaced the block that `name` stands in, in one of the older templates of `line`."""
    blocks = ((index, holder.facts.block(name)) for index, holder in enumerate(line))
    found = (_replacement(line, index, block.outer) for index, block in blocks if block is not None)
    return next((each for each in found if each is not None), None)


def replaced_sets(render: Render, target: str) -> Iterator[tuple[CompiledTemplate, SetFact, Replaced]]:
    """Each `-- set target = …` that did not happen because a younger template replaced the block that it stands in."""
    for youngest in render.loaded.values():
        line = lineage(render, youngest)
        for index, template in enumerate(line):
            for fact in template.facts.sets:
                block = template.facts.block_at(fact.line) if fact.target == target else None
                if block is not None and (found := _replacement(line, index, block.name)) is not None:
                    yield template, fact, found


def _replacement(line: Sequence[CompiledTemplate], index: int, name: str | None) -> Replaced | None:
    """Who replaced the block `name` of a template in `line`, or a block around it, without repeating what it says."""
    while name is not None and (block := line[index].facts.block(name)) is not None:
        for template in line[:index]:
            younger = template.facts.block(name)
            if younger is not None and not younger.calls_super:
                return Replaced(template, younger)
        name = block.outer
    return None


def inclusion_of(render: Render, line: Sequence[CompiledTemplate], name: str) -> Inclusion | None:
    """The include that brings a block of that name into what `line` renders."""
    found = [each for each in inclusions(render) if name in _overridable(render, each.asked)]
    return min(found, key=lambda each: each.asker not in line, default=None)


def inclusions(render: Render) -> Iterator[Inclusion]:
    """Every include that found a template."""
    for asked, number in render.requests:
        asker = render.loaded[number]
        if asked in render.by_name and render.parent_of(asker) is not render.loaded[render.by_name[asked]]:
            reference = asker.facts.reference_to(asked)
            same = [each.target for each in asker.facts.references if each.line == reference.line]
            earlier = same[: same.index(asked)] if asked in same else []
            missing = (each for each in earlier if each is not None and render.source(each) is None)
            yield Inclusion(asker, asked, request_step(asker, asked).block, next(missing, None))


def _overridable(render: Render, name: str) -> set[str]:
    return rendered_blocks(lineage(render, render.loaded[render.by_name[name]]))
