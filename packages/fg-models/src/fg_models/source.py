"""The files a generated model needs: its own source and the blocks it imports, found by following relative imports."""

from __future__ import annotations

import ast
import hashlib
import io
import threading
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from fg_models.errors import SourceError

_PARSER: Final = threading.Lock()
"""CPython counts the depth of `ast.parse` per interpreter: in two threads at once it may raise SystemError (3.11.7)."""


def blocks_directory() -> str:
    """Where the blocks of this distribution are, the last entry of every model's search path."""
    return str(Path(__file__).parent / "blocks")


def source_templates_directory() -> str:
    """Where `hf_causal.py.jinja` is, the template of generated model files."""
    return str(Path(__file__).parent / "source_templates")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A self-contained set of Python files: `files` maps a file name to its text, `main` is the generated one."""

    main: str
    files: dict[str, str]

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file."""
        return {name: _sha256(text) for name, text in sorted(self.files.items())}

    def code_digests(self) -> dict[str, str]:
        """SHA-256 of every file without comments and docstrings: what the model computes, not what is said about it."""
        return {name: _sha256("\n".join(_code_lines(text))) for name, text in sorted(self.files.items())}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _parse(text: str, file_name: str = "<model source>") -> ast.Module:
    with _PARSER:
        return ast.parse(text, filename=file_name)


def _code_lines(text: str) -> list[str]:
    """The lines of a Python file that hold code. Plain text and not a syntax tree, whose form varies with Python."""
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(_parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            for row in range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1):
                lines[row - 1] = ""
    return [line.rstrip() for line in lines if line.strip()]


def collect_source(source: str, *, file_name: str, searchpath: Sequence[str | Path]) -> ModelSource:
    """Gather `source` and everything it imports relatively (`from .attention import …`), directly or not.

    `searchpath` lists directories of blocks; the first that has a module wins, so a project may replace one.

    Raises:
        SourceError: a module is in none of the directories, or a file is not Python.
    """
    files = {file_name: source}
    pending = list(_relative_imports(source, file_name))
    while pending:
        module, importer = pending.pop()
        name = f"{module}.py"
        if name not in files:
            files[name] = _find(module, importer, searchpath)
            pending.extend(_relative_imports(files[name], name))
    return ModelSource(main=file_name, files=files)


def _relative_imports(text: str, file_name: str) -> Iterator[tuple[str, str]]:
    try:
        tree = _parse(text, file_name)
    except SyntaxError as error:
        raise SourceError(f"{file_name}:{error.lineno} is not valid Python: {error.msg}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level > 1 or not node.module or "." in node.module:
                raise SourceError(
                    f"{file_name}:{node.lineno} imports outside its directory; write 'from .module import name'"
                )
            yield node.module, f"{file_name}:{node.lineno}"


def _find(module: str, importer: str, searchpath: Sequence[str | Path]) -> str:
    for directory in searchpath:
        path = Path(directory) / f"{module}.py"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    known = sorted({path.stem for directory in searchpath for path in Path(directory).glob("*.py")} - {"__init__"})
    close = get_close_matches(module, known, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else f"known modules: {', '.join(known)}"
    places = ", ".join(str(directory) for directory in searchpath) or "an empty search path"
    raise SourceError(f"{importer} imports .{module}, which is in none of {places}; {hint}")
