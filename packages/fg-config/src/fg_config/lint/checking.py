"""`check`: every rule over every config of a project, as one sorted list of findings."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from fg_config.building.policy import ImportPolicy
from fg_config.errors import ConfigError
from fg_config.lint import rules_graph, rules_project, rules_specs, rules_template, rules_text, rules_yaml
from fg_config.lint.context import ConfigContext, distinct, read_config
from fg_config.lint.findings import Finding, from_error, merged
from fg_config.lint.library import Library
from fg_config.lint.suppressions import without_suppressed
from fg_config.projects.policies import project_policy
from fg_config.projects.project import Project, list_configs
from fg_config.projects.workspace import META
from fg_config.rendering.source import TemplateSource

logger = logging.getLogger("fg_config")

OfSource = Callable[[ConfigContext, TemplateSource], Iterator[Finding]]
OfConfig = Callable[[ConfigContext], Iterator[Finding]]
OfLibrary = Callable[[list[ConfigContext], Library], Iterator[Finding]]
OfProject = Callable[[Project], Iterator[Finding]]

OF_SOURCE: Final[tuple[OfSource, ...]] = (
    rules_text.shorthand_in_strings,
    rules_text.list_as_header,
    rules_text.doubtful_suppressions,
)
OF_RENDER: Final[tuple[OfConfig, ...]] = (rules_template.undefined_names,)
OF_TEXT: Final[tuple[OfConfig, ...]] = (rules_text.glued_lines,)
OF_DOCUMENT: Final[tuple[OfConfig, ...]] = (
    rules_yaml.numbers_as_text,
    rules_yaml.lost_names,
    rules_yaml.empty_names,
    rules_yaml.unused_anchors,
    rules_yaml.keys_that_override_nothing,
)
OF_GRAPH: Final[tuple[OfConfig, ...]] = (
    rules_graph.variables_without_default,
    rules_graph.unreachable_nodes,
    rules_specs.relative_specs,
    rules_specs.malformed_specs,
    rules_graph.copied_containers,
    rules_project.config_without_meta,
    rules_project.repaired_flags,
)
OF_LIBRARY: Final[tuple[OfLibrary, ...]] = (
    rules_template.unused_sets,
    rules_template.unused_labels,
    rules_template.shadowed,
    rules_project.shared_output_directories,
)
OF_PROJECT: Final[tuple[OfProject, ...]] = (
    rules_project.unknown_meta_keys,
    rules_project.missing_search_directories,
    rules_project.configs_of_another_suffix,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What to look at. `select` and `ignore` are codes or families; `reserved` flags belong to the commands.

    With `signatures` another process imports what the configs name, under `policy` (default: that of the project) and
    for at most `timeout` seconds.
    """

    signatures: bool = False
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    reserved: frozenset[str] = frozenset()
    policy: ImportPolicy | None = None
    timeout: float = 120.0

    def wants(self, code: str) -> bool:
        """Whether findings of this code are shown."""
        selected = not self.select or code.startswith(self.select)
        return selected and not (self.ignore and code.startswith(self.ignore))


def check(
    project_dir: str | os.PathLike[str] = ".",
    configs: Sequence[str] | None = None,
    options: CheckOptions | None = None,
) -> list[Finding]:
    """The findings of `configs` of a project (default: of all), each once, sorted by place.

    Nothing that a config names is imported here; with `options.signatures` another process does. A project whose
    meta.yaml cannot be read gives that mistake as its only finding.
    """
    options = options or CheckOptions()
    with without_logs():
        found = merged(_findings(Path(project_dir), configs, options))
    wanted = (finding for finding in found if options.wants(finding.code))
    return list(without_suppressed(wanted, lru_cache(_lines_of)))


def _findings(directory: Path, names: Sequence[str] | None, options: CheckOptions) -> Iterator[Finding]:
    projects: list[Project] = []
    try:
        projects += [Project(name, directory) for name in (list_configs(directory) if names is None else names)]
        Project("", directory)
    except ConfigError as error:
        yield from_error(error)
    if not projects:
        return
    contexts = [read_config(project) for project in projects]
    library = Library(projects[0], within=None if _is_whole(directory, names) else _files_of(contexts))
    for context in contexts:
        for finding in _of_config(context, options.reserved):
            yield _named(finding, context)
    yield from _of_sources(contexts, library)
    for rule in OF_LIBRARY:
        yield from rule(contexts, library)
    for rule in OF_PROJECT:
        yield from rule(projects[0])
    try:
        policy = options.policy or project_policy(projects[0].meta.project_dir, projects[0].meta.workspace_root)
    except ConfigError as error:
        yield from_error(error)
    else:
        yield from _under_policy(contexts, policy, options)


def _is_whole(directory: Path, names: Sequence[str] | None) -> bool:
    return names is None or {*list_configs(directory)} <= {*names}


def _files_of(contexts: list[ConfigContext]) -> frozenset[str]:
    """The files that configs are made from."""
    files = {source.file for context in contexts for source in context.sources}
    return frozenset({*files, str(contexts[0].project.project_dir / META)})


def _of_config(context: ConfigContext, reserved: Collection[str]) -> Iterator[Finding]:
    """What one config shows, as far as it could be read."""
    yield from map(from_error, context.problems)
    for rule in OF_RENDER:
        yield from rule(context)
    for rule in OF_TEXT if context.text is not None else ():
        yield from rule(context)
    for rule in OF_DOCUMENT if context.document is not None else ():
        yield from rule(context)
    if context.graph is not None:
        for rule in OF_GRAPH:
            yield from rule(context)
        yield from rules_project.wrong_dynamic_args(context, reserved)


def _of_sources(contexts: list[ConfigContext], library: Library) -> Iterator[Finding]:
    """What the text of each template shows, whoever uses it."""
    for context, source in distinct(contexts):
        for rule in OF_SOURCE:
            yield from (_named(finding, context) for finding in rule(context, source))
    used = rules_template.requested(contexts, library)
    files = {source.file: context for context, source in distinct(contexts) if Path(source.file).is_file()}
    for file, context in files.items():
        text = Path(file).read_text(encoding="utf-8")
        yield from (_named(finding, context) for finding in rules_text.doubtful_markers(context, text, file, used))


def _under_policy(contexts: list[ConfigContext], policy: ImportPolicy, options: CheckOptions) -> Iterator[Finding]:
    """What the import policy denies; with signatures, also what another process finds out by importing the rest."""
    for context in contexts:
        yield from (_named(finding, context) for finding in rules_specs.denied_specs(context, policy))
    if not options.signatures:
        return
    from fg_config.lint import rules_signature  # imported here: the schemas of annotations are for this only

    answers = rules_signature.signatures_for(contexts, policy, options.timeout)
    for context in contexts:
        yield from (_named(finding, context) for finding in rules_signature.wrong_calls(context, answers))


def _named(finding: Finding, context: ConfigContext) -> Finding:
    return replace(finding, configs=(context.name,))


def _lines_of(file: str) -> list[str]:
    path = Path(file)
    return path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []


@contextmanager
def without_logs() -> Iterator[None]:
    """Renders log their warnings, which are findings here."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def summary(findings: Iterable[Finding], configs: int) -> str:
    """`2 errors, 1 warning in 3 configs`, or that nothing was found."""
    severities = [finding.severity for finding in findings]
    counts = [f"{n} {word}{'s' * (n != 1)}" for word in ("error", "warning", "note") if (n := severities.count(word))]
    return f"{', '.join(counts) or 'nothing found'} in {configs} config{'s' * (configs != 1)}"
