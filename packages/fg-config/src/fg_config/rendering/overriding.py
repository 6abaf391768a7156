"""Which blocks a template can override: those that the templates it extends render, down to the root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def lineages(render: Render) -> dict[int, tuple[list[CompiledTemplate], set[str]]]:
    """By the number of each template: its lineage, and the blocks that are rendered when it is."""
    found: dict[int, tuple[list[CompiledTemplate], set[str]]] = {}
    for template in render.loaded.values():
        if template.number not in found:
            line = lineage(render, template)
            for index, rendered in enumerate(rendered_from_each(line)):
                found.setdefault(line[index].number, (line[index:], rendered))
    return found


def rendered_from_each(line: Sequence[CompiledTemplate]) -> list[set[str]]:
    """For each template of `line`, which extends the next: the blocks that are rendered when it is.

    From the root on, `inside` holds what stands in the text of a block: in its youngest version, and in the older ones
    that `super()` repeats. `ever` holds what stands in any version: `super.super()` also repeats what was replaced.
    """
    inside: dict[str, frozenset[str]] = {}
    ever: dict[str, frozenset[str]] = {}
    always = {block.name for block in line[-1].facts.outer_blocks}
    result: list[set[str]] = []
    for template in reversed(line):
        leaps = any(read.startswith("super.") for read, _ in template.facts.names_read)
        for block in template.facts.blocks:
            own = frozenset(inner.name for inner in template.facts.blocks if inner.outer == block.name)
            older = ever if leaps else inside if block.calls_super else {}
            inside[block.name] = own | older.get(block.name, frozenset())
            ever[block.name] = own | ever.get(block.name, frozenset())
        always |= {read.split(".")[1] for read, _ in template.facts.names_read if read.startswith("self.")}
        result.append(_closure(always, inside))
    return result[::-1]


def _closure(names: Iterable[str], inside: Mapping[str, Iterable[str]]) -> set[str]:
    """`names` and everything inside of them."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += inside.get(name, ())
    return found


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
    return rendered_from_each(lineage(render, render.loaded[render.by_name[name]]))[0]
