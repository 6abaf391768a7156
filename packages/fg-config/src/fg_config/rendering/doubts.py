"""What a template can hardly mean: warnings about a render that went well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fg_config.errors import ConfigError, TemplateWarning
from fg_config.hints import nearest
from fg_config.nodes import Span
from fg_config.rendering.blanks import blank_help, without_blank
from fg_config.rendering.compiling import CompiledTemplate
from fg_config.rendering.overriding import (
    Inclusion,
    inclusion_of,
    inclusions,
    lineages,
    replaced_around,
)
from fg_config.rendering.preprocess import swallowed_blocks
from fg_config.rendering.render import Render
from fg_config.rendering.source import TemplateSource


def doubtful_parts(render: Render) -> Iterator[ConfigError]:
    """What a template can hardly mean.

    In a child, text outside blocks and blocks that no parent renders are said in vain. In a root, a block beside a
    `[name]` header lands inside the header's block and vanishes with it as soon as a child overrides that. (In a child
    this is how an overridden block gets parts.) Of two sub-templates with one label, only one is ever used.
    """
    for earlier, later in render.relabelled:
        yield _relabelled(render, earlier, later)
    above = lineages(render)
    for template in list(render.loaded.values()):
        if template.facts.is_child:
            yield from _stray_text(render, template)
            yield from _vain_blocks(render, *above[template.number])
        else:
            yield from _swallowed_blocks(render, template)


def _swallowed_blocks(render: Render, template: CompiledTemplate) -> Iterator[ConfigError]:
    for line, block, header in swallowed_blocks(template.source.text):
        message = f"block {block!r} lies inside [{header}], which ends only at the next header"
        help = f"write [{header}] as `-- block {header}` … `-- endblock`; if it is meant, indent {block!r}"
        yield _warning(render, template, line, message, "FG0208", help)


def _stray_text(render: Render, template: CompiledTemplate) -> Iterator[ConfigError]:
    for line in template.facts.stray_text:
        message = "text outside of blocks is never rendered, because this template extends another"
        statement = without_blank(template.source.lines[line - 1])
        help = blank_help(statement) if statement else "move it into a block"
        yield _warning(render, template, line, message, "FG0206", help)


def _vain_blocks(render: Render, line: Sequence[CompiledTemplate], rendered: set[str]) -> Iterator[ConfigError]:
    template = line[0]
    vain = [block for block in template.facts.outer_blocks if block.name not in rendered]
    swallowed = _swallowed_by(line) if vain else set()
    inherited = {name for parent in line[1:] for name in parent.facts.block_names} if vain else set()
    for block in (each for each in vain if each.name not in swallowed):
        if block.name in inherited:
            message, help = _replaced(line, block.name)
        elif inclusion := inclusion_of(render, line, block.name):
            message = f"block {block.name!r} overrides nothing: {inclusion.asked!r} has it, which is included"
            help = _through_sub_template(template, block.name, inclusion)
        else:
            message = f"block {block.name!r} overrides nothing: no parent template has it"
            help = nearest(block.name, rendered & inherited, "blocks")
        yield _warning(render, template, block.line, message, "FG0207", help)


def _swallowed_by(line: Sequence[CompiledTemplate]) -> set[str]:
    """The blocks that a root put into the block of a header: that is the mistake, not what it does to children."""
    return {block for _, block, _ in swallowed_blocks(line[-1].source.text)}


def _replaced(line: Sequence[CompiledTemplate], name: str) -> tuple[str, str]:
    found = replaced_around(line, name)
    if found is None:
        return f"block {name!r} is never rendered: no template renders the block around it", "take it out"
    around = found.around
    message = f"block {name!r} is never rendered: {found.place} replaces [{around.name}], the block around it"
    return message, f"write `== super()` in that [{around.name}] to keep what stands in it, or [{name}] inside of it"


def _through_sub_template(template: CompiledTemplate, name: str, inclusion: Inclusion) -> str:
    """How to override a block of what is included: by a sub-template that extends it and is included instead."""
    label = inclusion.before or _label(template, inclusion.block or name)
    below = f"`#---- {label} ----`, `-- extends {inclusion.asked!r}`, [{name}]"
    asker = inclusion.asker.source.name
    if inclusion.before:
        return f"write it in the sub-template that {asker!r} includes if there is one: {below}"
    if inclusion.block is None:
        return f"{asker!r} includes it outside of blocks: put that include into a block, which can be overridden"
    return f"[{inclusion.block}] of {asker!r} includes it: override that with `-- include {label!r}`, and write {below}"


def _label(template: CompiledTemplate, part: str) -> str:
    return f"{Path(template.source.file).stem}.{part}"


def _relabelled(render: Render, earlier: TemplateSource, later: TemplateSource) -> ConfigError:
    """Parents are read after their children, so what a child gives under a label of its parent is lost."""
    span = Span(file=later.file, line=later.first_line - 1, label=later.label)
    message = f"sub-template {later.name!r} replaces the one in {earlier.file}:{earlier.first_line - 1}"
    if later.file == earlier.file:
        return TemplateWarning(message, code="FG0210", span=span, help="this one is used: take one out, or rename it")
    asker = next((each for each in inclusions(render) if each.asked == later.name), None)
    instead = f" in [{asker.block}]" if asker is not None and asker.block else ""
    help = (
        f"this one is used, because its file is read last; give the other a name of its own, begin it with "
        f"`-- extends {later.name!r}`, and include it{instead} instead of {later.name!r}"
    )
    return TemplateWarning(message, code="FG0210", span=span, help=help)


def _warning(
    render: Render, template: CompiledTemplate, line: int, message: str, code: str, help: str | None
) -> ConfigError:
    at = line + template.source.first_line - 1
    span, snippet = render.span(template.number, at), template.source.line_text(at)
    return TemplateWarning(message, code=code, span=span, snippet=snippet, help=help)
