"""What `diff` compares: a config, a config of another project or commit, a saved run, or a saved graph."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fg_config.changes.relocate import Relocation
from fg_config.changes.revisions import checked_out, commit_of
from fg_config.changes.run_record import GRAPH, load_graph
from fg_config.errors import ConfigError, ProjectError
from fg_config.graph import Graph
from fg_config.hints import nearest
from fg_config.projects.project import Project, list_configs
from fg_config.projects.workspace import META, find_project_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two graphs, how it was named, and the config that it comes from when its templates are at hand."""

    name: str
    graph: Graph
    project: Project | None = None


class Sides:
    """Opens what a user names. Words are understood in this order: a config of the project, a saved graph, a run or
    project directory, `DIRECTORY:CONFIG`, `COMMIT:CONFIG`. Without CONFIG it is `config`, or the project's default.

    All templates see the same clock, so a time in a file name is no difference.
    """

    def __init__(self, project_dir: Path, config: str) -> None:
        self._project_dir = project_dir
        self._config = config
        self._now = datetime.now().astimezone()

    def of(self, project: Project, name: str) -> Side:
        """A config that is at hand already; it is rendered again, with the clock of the others."""
        same = self._at_one_time(project)
        return Side(name=name, graph=same.graph, project=same)

    def open(self, word: str) -> Side:
        """The graph that `word` names. Raises `ProjectError` for words that name nothing."""
        path = Path(word).expanduser()
        if word in self._configs():
            return self.of(Project(word, find_project_dir(self._project_dir)), word)
        if path.is_file() and path.suffix == ".json":
            return Side(name=word, graph=load_graph(path))
        if (path / GRAPH).is_file():
            return Side(name=word, graph=load_graph(path / GRAPH))
        if (path / META).is_file():
            return self.of(Project("", path), word)
        place, colon, config = word.rpartition(":")
        if colon and Path(place).expanduser().is_dir():
            return self.of(Project(config, find_project_dir(place)), word)
        if colon and (commit := commit_of(self._project_dir, place)):
            return Side(name=word, graph=self._of_commit(commit, place, config or self._config))
        raise self._unknown(word, place if colon else None)

    def _of_commit(self, commit: str, revision: str, config: str) -> Graph:
        """The graph of a config as it was in a commit, with the paths that it has in the working tree."""
        project_dir = find_project_dir(self._project_dir).resolve()
        with checked_out(project_dir, commit) as (temporary, root):
            inside = project_dir.relative_to(root.resolve())
            if not (temporary / inside / META).is_file():
                raise ProjectError(f"there is no project {inside} in the commit {revision}", code="FG0651")
            move = Relocation(before=str(temporary), after=str(root), file_name=lambda file: f"{revision}:{file}")
            try:
                return move.graph(self._at_one_time(Project(config, temporary / inside)).graph)
            except ConfigError as error:
                raise move.error(error) from error

    def _at_one_time(self, project: Project) -> Project:
        same = project.load_config(project.config_name, **project.template_vars)
        same.environment.now = self._now
        return same.with_overrides(project.overrides)

    def _configs(self) -> list[str]:
        try:
            return list_configs(find_project_dir(self._project_dir))
        except ConfigError:  # runs and other projects can be compared from anywhere
            return []

    def _unknown(self, word: str, revision: str | None) -> ProjectError:
        what = f"{revision!r} is neither a directory nor a commit, so {word!r}" if revision else repr(word)
        known = nearest(word, self._configs(), "configs")
        help = "it may be a config, a run directory, a saved graph.json, DIRECTORY:CONFIG or COMMIT:CONFIG"
        return ProjectError(
            f"{what} names nothing to compare", code="FG0652", help=f"{help}; {known}" if known else help
        )
