"""Command line of the documentation builder."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tools.checks.links import check_links
from tools.checks.process import run_python
from tools.docs.drawing import check_drawing
from tools.docs.stage import stage
from tools.workspace import Workspace, load_workspace

_CONFIGURATION = """
project = "Forgather"
extensions = ["myst_parser"]
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 4
root_doc = "index"
html_theme = "furo"
html_title = "Forgather"
exclude_patterns = ["_build"]
"""


def build(workspace: Workspace, output: Path) -> int:
    """Check links and drawings, then build HTML into `output` with every warning an error; the exit code."""
    findings = check_links(workspace) + check_drawing(workspace)
    if findings:
        print("\n".join(findings), file=sys.stderr)
        return 1
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="forgather-docs-") as scratch:
        source = Path(scratch)
        pages = stage(workspace, source)
        (source / "conf.py").write_text(_CONFIGURATION, encoding="utf-8")
        (source / "index.md").write_text(_index(pages), encoding="utf-8")
        options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--builder", "html"]
        exit_code, said = run_python(["-m", "sphinx", *options, source, output], cwd=workspace.root)
    if exit_code:
        print(said, file=sys.stderr)
        return exit_code
    print(f"{len(pages)} pages in {output / 'index.html'}")
    return 0


def _index(pages: list[str]) -> str:
    entries = "\n".join(name.removesuffix(".md") for name in pages if name != "README.md")
    front = "```{include} README.md\n:relative-docs: .\n```\n"
    return f"{front}\n```{{toctree}}\n:hidden:\n:titlesonly:\n\n{entries}\n```\n"


def main() -> int:
    """Build into `site/`."""
    workspace = load_workspace()
    return build(workspace, workspace.root / "site")


if __name__ == "__main__":
    sys.exit(main())
