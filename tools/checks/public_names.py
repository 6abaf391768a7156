"""The public door of each distribution: light to open, and exactly what its README says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tools import markdown
from tools.checks.process import last_lines, run_python
from tools.workspace import Distribution, Workspace

_HEADING = "Public names"
_HEAVY = ("torch", "transformers")
_LIGHT_IMPORT = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
    loaded = [name for name in {heavy} if name in sys.modules]
    if loaded:
        sys.exit(f"import {{module}} loads {{' and '.join(loaded)}}")
"""
_RESOLVE = """
import importlib, sys
package = importlib.import_module(sys.argv[1])
broken = []
for name in package.__all__:
    try:
        getattr(package, name)
    except (AttributeError, ImportError) as error:
        broken.append(f"{name}: {error}")
missing = sorted(set(package.__all__) - set(dir(package)))
sys.exit("\\n".join(broken + [f"{name} is not in dir()" for name in missing]) or 0)
"""


def check_light_imports(workspace: Workspace) -> list[str]:
    """Packages whose door or command line imports torch or transformers."""
    program = _LIGHT_IMPORT.format(heavy=_HEAVY)
    findings = []
    for distribution in workspace.distributions:
        modules = [distribution.import_name]
        if (distribution.package / "commands.py").exists():
            modules.append(f"{distribution.import_name}.commands")
        exit_code, output = run_python(["-c", program, *modules], cwd=workspace.root, paths=_paths(workspace))
        if exit_code:
            findings.append(f"{distribution.name}: {last_lines(output)}")
    return findings


def check_public_names(workspace: Workspace) -> list[str]:
    """Names in `__all__` that the README does not list, the other way round, and names that cannot be imported."""
    return [
        f"{distribution.name}: {finding}"
        for distribution in workspace.distributions
        for finding in _documentation_gaps(distribution) or _unresolved(workspace, distribution)
    ]


def _documentation_gaps(distribution: Distribution) -> list[str]:
    door, page = distribution.package / "__init__.py", distribution.folder / "README.md"
    if not door.exists() or not page.exists():
        return [f"{path.name} is missing" for path in (door, page) if not path.exists()]
    exported = _exported(door.read_text(encoding="utf-8"))
    if exported is None:
        return ["__init__.py assigns no literal list to __all__"]
    documented = _documented(page.read_text(encoding="utf-8"))
    gaps = [f"{name} is in __all__ but not below '{_HEADING}' of README.md" for name in sorted(exported - documented)]
    return gaps + [f"README.md documents {name}, which is not in __all__" for name in sorted(documented - exported)]


def _exported(source: str) -> set[str] | None:
    for node in ast.parse(source).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if names == ["__all__"] and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            return set(ast.literal_eval(node.value))
    return None


def _documented(page: str) -> set[str]:
    matches = (re.match(r"[-*] `(\w+)", line) for _, line in markdown.section(page, _HEADING))
    return {match[1] for match in matches if match}


def _unresolved(workspace: Workspace, distribution: Distribution) -> list[str]:
    program = ["-c", _RESOLVE, distribution.import_name]
    exit_code, output = run_python(program, cwd=workspace.root, paths=_paths(workspace))
    return [last_lines(output)] if exit_code else []


def _paths(workspace: Workspace) -> list[Path]:
    return [distribution.src for distribution in workspace.distributions]
