"""The names of the template library are an interface: configs of existing projects override and read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import yaml

from fg_config.distributions import template_directories
from fg_config.rendering.facts import TemplateFacts
from fg_config.rendering.render import compile_template
from fg_config.rendering.source import read_source

HERE = Path(__file__).parent
CONTRACT = yaml.safe_load((HERE / "template_names.yaml").read_text())
ABSENT = yaml.safe_load((HERE / "template_names_absent.yaml").read_text())
LIBRARY = {
    path.relative_to(resource.path).as_posix(): path
    for resource in template_directories()
    for path in sorted(resource.path.rglob("*.yaml"))
}
ANCHOR = re.compile(r"(?:^|\s)&(\w+)\b")


@dataclass(slots=True)
class Names:
    """Names of one kind in a template with its sub-templates and everything it extends."""

    blocks: set[str] = field(default_factory=set)
    ns: set[str] = field(default_factory=set)
    anchors: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)

    def add(self, text: str, facts: TemplateFacts) -> None:
        self.blocks |= facts.block_names
        self.ns |= {fact.target.removeprefix("ns.") for fact in facts.sets if fact.target.startswith("ns.")}
        self.anchors |= set(ANCHOR.findall(text))
        holders = [*facts.expressions, *facts.sets]
        self.variables |= {default.name for holder in holders for default in holder.defaults}

    def update(self, other: Names) -> None:
        for kind in ("blocks", "ns", "anchors", "variables"):
            getattr(self, kind).update(getattr(other, kind))


@cache
def names_of(template: str) -> Names:
    names = Names()
    for source in read_source(template, LIBRARY[template]):
        facts = compile_template(source).facts
        names.add(source.text, facts)
        for reference in facts.references:
            if reference.target in LIBRARY:
                names.update(names_of(reference.target))
    return names


def contract() -> Iterator[tuple[str, str]]:
    for template, kinds in CONTRACT.items():
        if template in ABSENT["templates"]:
            continue
        for kind in kinds:
            yield template, kind


@pytest.mark.parametrize(("template", "kind"), list(contract()))
def test_a_template_has_the_names_of_the_contract(template: str, kind: str) -> None:
    absent = set(ABSENT["names"].get(template, {}).get(kind, {}))
    missing = set(CONTRACT[template][kind]) - getattr(names_of(template), kind)
    assert missing == absent


@pytest.mark.parametrize("template", CONTRACT)
def test_what_is_listed_as_absent_is_absent_and_has_a_reason(template: str) -> None:
    reason = ABSENT["templates"].get(template)
    assert (template in LIBRARY) == (reason is None)
    reasons = [text for kind in ABSENT["names"].get(template, {}).values() for text in kind.values()]
    assert all(isinstance(text, str) and text for text in [*reasons, reason or "present"])
