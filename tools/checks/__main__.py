"""Command line of the checks."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tools.checks import (
    Check,
    arrows,
    links,
    public_names,
    ranges,
    ratchets,
    readme,
    sessions,
    snippets,
    style,
    third_party,
)
from tools.environment import require_complete_environment
from tools.workspace import Workspace, counted, load_workspace

CHECKS: dict[str, Check] = {
    "format": style.check_format,
    "lint": style.check_lint,
    "types": style.check_types,
    "arrows": arrows.check_arrows,
    "ranges": ranges.check_ranges,
    "dependencies": third_party.check_third_party,
    "ratchets": ratchets.check_ratchets,
    "imports": public_names.check_light_imports,
    "names": public_names.check_public_names,
    "readme": readme.check_change_table,
    "links": links.check_links,
    "snippets": snippets.check_snippets,
    "sessions": sessions.check_sessions,
}


def run_checks(checks: dict[str, Check], workspace: Workspace) -> int:
    """Run each check, print one line for it and its findings below; the number of checks that failed."""
    failed = 0
    for name, check in checks.items():
        started = time.monotonic()
        if sys.stdout.isatty():
            print(f"…    {name}", end="\r", flush=True)
        findings = check(workspace)
        seconds = time.monotonic() - started
        state = (
            f"FAIL {name:14}{seconds:5.1f} s  {counted(len(findings), 'finding')}"
            if findings
            else f"ok   {name:14}{seconds:5.1f} s"
        )
        print(
            "\n".join([state, *(f"     {line}" for finding in findings for line in finding.splitlines())]), flush=True
        )
        failed += bool(findings)
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named checks, or all of them; 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="hatch run check", description="Check the repository.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(CHECKS)} (default: all)")
    parser.add_argument("--update", action="store_true", help="store ratchets that improved, then check")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.names) - set(CHECKS)
    if unknown:
        parser.error(f"no check named {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    workspace = load_workspace()
    require_complete_environment(workspace)
    if arguments.update:
        ratchets.update(workspace)
    failed = run_checks({name: CHECKS[name] for name in arguments.names or CHECKS}, workspace)
    print(f"{counted(failed, 'check')} failed" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
