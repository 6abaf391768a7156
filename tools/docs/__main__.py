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

_READING_ORDER = (
    *("getting-started", "concepts", "writing-a-config", "changing-a-project", "language", "debugging", "check-codes"),
    *("kernels", "operations/tls", "security", "architecture", "contributing", "benchmarks"),
)


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
    print(f"{len(pages)} pages; the first is {output / 'index.html'}")
    return 0


def _index(pages: list[str]) -> str:
    """The front page: the README, and the contents in the order in which one reads them."""
    front = "```{include} README.md\n:relative-docs: .\n```\n"
    guides = [name for name in pages if name.startswith("docs/")]
    changelogs = [name for name in pages if name.endswith("CHANGELOG.md")]
    rest = [name for name in pages if name not in (*guides, *changelogs, "README.md")]
    first = [f"docs/{name}.md" for name in _READING_ORDER]
    parts = {
        "Guides": [name for name in first if name in guides] + [name for name in guides if name not in first],
        "Distributions and examples": rest,
        "Changelogs": changelogs,
    }
    return front + "".join(_contents(caption, names) for caption, names in parts.items())


def _contents(caption: str, names: list[str]) -> str:
    entries = "\n".join(_titled(name) for name in names)
    return f"\n```{{toctree}}\n:hidden:\n:titlesonly:\n:caption: {caption}\n\n{entries}\n```\n"


def _titled(name: str) -> str:
    """A changelog goes by its distribution's name: they all have the same title."""
    page = name.removesuffix(".md")
    return f"{Path(name).parent.name} <{page}>" if name.endswith("CHANGELOG.md") else page


def main() -> int:
    """Build into `site/`."""
    workspace = load_workspace()
    return build(workspace, workspace.root / "site")


if __name__ == "__main__":
    sys.exit(main())
