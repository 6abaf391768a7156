"""Everything that building a target would import, read from the graph: nothing is imported to find it out.

A `from_project` with plain arguments is followed into the other project's config.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from fg_config.building.policy import ImportPolicy, Verdict, in_force
from fg_config.building.resolver import check_form, resolve_alias
from fg_config.errors import ConfigError, GraphError
from fg_config.graph import entries
from fg_config.nodes import Call, Span, Value
from fg_config.projects.policies import inherited_policy
from fg_config.projects.project import Project, other_project
from fg_config.tagged import container_tag, is_plain, plain_data

_OTHER_PROJECT: Final = frozenset({"fg_config:from_project", "fg_config.projects.project:from_project"})
_PARAMETERS: Final = ("project_dir", "config_template", "targets", "pp_debug", "pp_kwargs")

Finding: TypeAlias = Literal["allowed", "denied", "unknown", "missing", "source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedName:
    """A name that a config imports. `source` is what only generated source imports, `missing` what cannot be found."""

    spec: str
    module: str
    symbol: str
    span: Span
    finding: Finding
    reason: str
    distribution: str | None = None

    @property
    def would_fail(self) -> bool:
        """Whether the build would stop here."""
        return self.finding in ("denied", "unknown", "missing")


def imported_names(project: Project, target: str, policy: ImportPolicy) -> list[ImportedName]:
    """What building `target` of `project` would import under `policy`, each place once, in the order of the config.

    Raises `ConfigError` when the config, or one that it builds on, cannot be read.
    """
    return list(dict.fromkeys(_Walk(policy).project(project, [target])))


class _Walk:
    """One walk through a graph and those of the projects it builds on."""

    def __init__(self, policy: ImportPolicy) -> None:
        self._policy = policy
        self._projects: set[str] = set()

    def project(self, project: Project, targets: list[str]) -> Iterator[ImportedName]:
        """The names in `targets` of `project`; none when this walk has been there."""
        key = repr((project.project_dir, project.config_name, project.template_vars, targets))
        if key in self._projects:
            return
        self._projects.add(key)
        for node in _calls([project.graph.target(name) for name in targets]):
            if container_tag(node):
                continue
            name = _judged(node, self._policy, project.project_dir)
            yield name
            if resolve_alias(node.spec) in _OTHER_PROJECT and not name.would_fail:
                yield from self._other_project(node, project.project_dir)

    def _other_project(self, node: Call, directory: Path) -> Iterator[ImportedName]:
        given: dict[str, Any] = {**dict(zip(_PARAMETERS, node.args, strict=False)), **node.kwargs}
        known = {name: given[name] for name in _PARAMETERS if name in given}
        if not all(map(is_plain, known.values())):
            yield _unfollowed(node, "its arguments are known when it is built", "unknown")
            return
        plain = {name: plain_data(value) for name, value in known.items()}
        try:
            other = other_project(plain["project_dir"], plain.get("config_template"), plain.get("pp_kwargs"), directory)
            with in_force(self._policy):
                policy = inherited_policy(other.project_dir, other.meta.workspace_root)
            wanted = plain.get("targets") or "main"
            names = [wanted] if isinstance(wanted, str) else list(wanted)
            inner = _Walk(policy)
            inner._projects = self._projects
            yield from inner.project(other, names)
        except (ConfigError, LookupError, TypeError) as error:
            yield _unfollowed(node, str(getattr(error, "message", error)), "denied")


def _unfollowed(node: Call, reason: str, finding: Finding) -> ImportedName:
    return ImportedName(
        spec=node.spec, module="another project", symbol="", span=node.span, finding=finding, reason=reason
    )


def _calls(values: list[Value]) -> Iterator[Call]:
    """Every call node below `values`, once, parents first."""
    todo, seen = list(reversed(values)), set()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        if isinstance(value, Call):
            yield value
        inner = list(entries(value).values())
        if inner:
            seen.add(id(value))
        todo += reversed(inner)


def _judged(node: Call, policy: ImportPolicy, directory: Path) -> ImportedName:
    spec = resolve_alias(node.spec)
    module, _, symbol = spec.rpartition(":")
    finding, reason = _finding(spec, policy, directory)
    return ImportedName(
        spec=node.spec,
        module=module or "builtins",
        symbol=symbol,
        span=node.span,
        finding=finding,
        reason=reason,
        distribution=_distribution(module),
    )


def _finding(spec: str, policy: ImportPolicy, directory: Path) -> tuple[Finding, str]:
    module = spec.rpartition(":")[0]
    if module.startswith(".") and not module.endswith(".py"):
        return "source", "imported by the source that is generated from it"
    verdict: Verdict = policy.judge(spec, directory)
    if verdict.word == "denied":
        return "denied", verdict.reason
    try:
        check_form(spec)
    except GraphError as error:
        return "missing", error.message
    if module.endswith(".py") and not (directory / Path(module).expanduser()).is_file():
        return "missing", "no such file (yet)"
    return verdict.word, verdict.reason


def _distribution(module: str) -> str | None:
    top = module.partition(".")[0]
    if not top or module.endswith(".py") or PathFinder.find_spec(top) is None:
        return None
    own = _version_of(top.replace("_", "-"))
    found = [top.replace("_", "-")] if own else _distributions().get(top)
    return ", ".join(sorted(set(found))) if found else None


def _version_of(distribution: str) -> str | None:
    from importlib import metadata  # imported here: 15 ms that only this verb needs

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@cache
def _distributions() -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions  # imported here: it reads the files of all distributions

    return packages_distributions()
