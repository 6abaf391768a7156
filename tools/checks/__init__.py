"""Checks of the repository as a whole: `hatch run check [NAME …]`.

A check takes the workspace and returns its findings, one line each; no finding means that it passed.
"""

from __future__ import annotations

from collections.abc import Callable

from tools.workspace import Workspace

Check = Callable[[Workspace], list[str]]
