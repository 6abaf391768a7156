"""From a span to the line a person opens: file, block, sub-template and the text that stands there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from fg_config.nodes import Span
from fg_config.provenance.explanation import Site
from fg_config.rendering.render import CompiledTemplate, Render


class Sites:
    """The lines of one render. Without a render (a saved graph) a site knows file and line, and what `line_text` knows.

    Files are shown relative to the working directory or to `project_dir`, those of a library relative to the search
    directory that holds them, which is how templates name each other.
    """

    def __init__(
        self,
        render: Render | None = None,
        project_dir: Path | None = None,
        search_path: Iterable[Path] = (),
        line_text: Callable[[str, int], str] = lambda file, line: "",
    ) -> None:
        self.render = render
        self._line_text = line_text
        self._roots = [*([project_dir] if project_dir else []), *search_path]
        self._shown: dict[str, str] = {}

    def at(self, span: Span) -> Site:
        """The site of a span."""
        template = self.render.template_at(span) if self.render else None
        shown = self.file(span.file)
        if template is None:
            text = self._line_text(span.file, span.line).strip()
            return Site(file=span.file, line=span.line, shown=shown, label=span.label, text=text)
        return self.of_line(template, span.line)

    def of_line(self, template: CompiledTemplate, line: int) -> Site:
        """The site of a line (of the file) of a loaded template."""
        source = template.source
        block = template.facts.block_at(line - source.first_line + 1)
        return Site(
            file=source.file,
            line=line,
            shown=self.file(source.file),
            template=source.name,
            label=source.label,
            block=block.name if block else None,
            text=source.line_text(line).strip(),
        )

    def file(self, file: str) -> str:
        """The file as people read it."""
        if file not in self._shown:
            self._shown[file] = next((shown for root in self._roots if (shown := _below(file, root))), file)
        return self._shown[file]


def _below(file: str, root: Path) -> str | None:
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None
