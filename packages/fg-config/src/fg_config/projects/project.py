"""A project and one of its configs: the object that commands, scripts and other configs work with."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fg_config.changes.overrides import Override, overridden, overrides_of
from fg_config.environment import ConfigEnvironment, LoadedConfig
from fg_config.errors import ConfigError
from fg_config.graph import Graph
from fg_config.projects.dynamic_args import DynamicArg, parse_dynamic_args
from fg_config.projects.meta import config_names, read_project_meta
from fg_config.rendering.render import Render, TemplateUse
from fg_config.rendering.sourcemap import RenderedText

if TYPE_CHECKING:
    from fg_config.building.policy import ImportPolicy


class Project:
    """One config of a project, rendered and parsed when first needed.

    `config_name` names a template below the project's config prefix (empty or None: the default config);
    `template_vars` are visible in its templates, `overrides` (such as `"trainer_args.lr=3e-4"`) change what was
    parsed, and so what is built. Reading imports nothing that the config names. Calling the project
    builds targets under `policy` (default: that of a build that is running, else `ImportPolicy.default()`):

    - `project()` builds the target `main`; `project("a", tokenizer=t)` one target with context variables;
    - `project("a", "b")` several, in this order; `project(["a", "b"])` or `asdict=True` those that exist, by name.

    Raises `ConfigError` with the template line for mistakes in the project.
    """

    def __init__(
        self,
        config_name: str | None = "",
        project_dir: str | os.PathLike[str] = ".",
        *,
        policy: ImportPolicy | None = None,
        overrides: Iterable[Override | str] = (),
        **template_vars: Any,
    ) -> None:
        self.meta = read_project_meta(project_dir)
        self.environment = ConfigEnvironment(self.meta.search_path, self.meta.variables)
        self.config_name = self._config_name(config_name)
        self.template_vars = template_vars
        self.policy = policy
        self.overrides = overrides_of(overrides)

    @property
    def project_dir(self) -> Path:
        """The absolute project directory."""
        return self.meta.project_dir

    @property
    def search_path(self) -> list[Path]:
        """Every directory that templates are searched in, in order."""
        return self.environment.search_path

    @property
    def graph(self) -> Graph:
        """The graph of the config, with the overrides applied."""
        return self._graph

    @property
    def pp_config(self) -> RenderedText:
        """The text that the templates render to."""
        return self._loaded.pp_config

    @property
    def config(self) -> Any:
        """The targets by name and attribute; nodes are callables that build themselves."""
        from fg_config.building.latent import config_view

        return config_view(self.graph, self._build_policy())

    @property
    def warnings(self) -> list[ConfigError]:
        """Findings that do not stop a config from working, such as a block that overrides nothing."""
        return list(self._loaded.warnings)

    @property
    def render(self) -> Render:
        """The finished render: its templates with what their syntax says, and who asked for whom."""
        render = self._loaded.render
        assert render is not None
        return render

    @property
    def templates_used(self) -> list[TemplateUse]:
        """The templates that took part, in the order of loading."""
        return list(self._loaded.templates_used)

    @property
    def dynamic_args(self) -> tuple[DynamicArg, ...]:
        """The command-line flags that the config declares."""
        return parse_dynamic_args(self.graph)

    def with_overrides(self, overrides: Iterable[Override | str]) -> Project:
        """This config with other overrides; templates are rendered once for both."""
        other = copy.copy(self)
        other.__dict__["_loaded"] = self._loaded
        other.__dict__.pop("_graph", None)
        other.overrides = overrides_of(overrides)
        return other

    def load_config(self, config_name: str | None = "", /, **template_vars: Any) -> Project:
        """Another config of this project, or this one with other variables.

        Policy, overrides and in-memory templates are the same. `template_vars` may have any name.
        """
        other = copy.copy(self)
        for read in ("_loaded", "_graph"):
            other.__dict__.pop(read, None)
        other.config_name = self._config_name(config_name)
        other.template_vars = template_vars
        return other

    def add_template(self, name: str, text: str) -> None:
        """Add a template that exists in memory only, such as `configs/x.yaml`, which `load_config("x.yaml")` reads.

        A template of a config must be added before the config is first read.
        """
        self.environment.add_template(name, text)

    def __call__(self, *targets: str | Iterable[str], asdict: bool = False, **context: Any) -> Any:
        names = targets or ("main",)
        if len(names) == 1 and not isinstance(names[0], str):
            names, asdict = tuple(names[0]), True
        flat = [str(name) for name in names]
        if asdict:
            known = [name for name in flat if name in self.graph.targets]
            from fg_config.building.latent import DotDict  # imported here: looking at a config builds nothing

            return DotDict(self._build(known, context))
        built = self._build(flat, context)
        return built[flat[0]] if len(flat) == 1 else tuple(built[name] for name in flat)

    def __repr__(self) -> str:
        return f"Project({self.config_name!r}, {str(self.project_dir)!r})"

    def _build(self, names: list[str], context: Mapping[str, Any]) -> dict[str, Any]:
        from fg_config.building.builder import build

        values = {"pp_config": self.pp_config, **context}
        return build(self.graph, names, context=values, policy=self._build_policy())

    def _build_policy(self) -> ImportPolicy:
        from fg_config.projects.policies import inherited_policy

        return self.policy or inherited_policy(self.project_dir, self.meta.workspace_root)

    @cached_property
    def _graph(self) -> Graph:
        return overridden(self._loaded.graph, self.overrides)

    @cached_property
    def _loaded(self) -> LoadedConfig:
        return self.environment.load_config(
            f"{self.meta.config_prefix}/{self.config_name}",
            directory=self.project_dir,
            variables=self.template_vars,
        )

    def _config_name(self, name: str | None) -> str:
        chosen = name or self.meta.default_config
        if chosen and self.environment.has_template(f"{self.meta.config_prefix}/{chosen}"):
            return chosen
        from fg_config.projects.config_files import missing_config  # imported here: only a mistake needs it

        raise missing_config(self.meta, name)


def list_configs(project_dir: str | os.PathLike[str] = ".") -> list[str]:
    """The names of the configs of a project, sorted."""
    meta = read_project_meta(project_dir)
    return config_names(meta.searchdir, meta.config_prefix)


def other_project(
    project_dir: str | os.PathLike[str],
    config_template: str | None,
    pp_kwargs: Mapping[str, Any] | None,
    directory: Path | None,
) -> Project:
    """The config that a config means by these arguments of `from_project`.

    A relative `project_dir` is relative to `directory` (default: the working directory).
    """
    place = (directory or Path()) / Path(project_dir).expanduser()
    return Project(config_template, place).load_config(config_template, **(pp_kwargs or {}))


def from_project(
    project_dir: str | os.PathLike[str],
    config_template: str | None = None,
    targets: str | Iterable[str] = "",
    pp_debug: bool = False,
    pp_kwargs: Mapping[str, Any] | None = None,
    **context: Any,
) -> Any:
    """Build targets of another project's config; the call that configs use to build on each other.

    `targets` as a string gives the object (default `main`), as a list a mapping. `pp_kwargs` are template variables
    of the other config, `context` its variables (`!var`). With `pp_debug` an error carries the rendered text.
    Inside of a build, a relative `project_dir` is relative to the project that is being built.
    """
    from fg_config.building.policy import directory_in_force

    project = other_project(project_dir, config_template, pp_kwargs, directory_in_force())
    try:
        return project(targets or "main", **context)
    except Exception as error:  # whatever it is goes on its way, with the rendered text as a note
        if pp_debug:
            error.add_note(f"{project!r} renders to:\n{project.pp_config.with_line_numbers()}")
        raise
