"""`python -m fg_checkpoint checkpoint ls|verify PATH`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fg_checkpoint import commands
from fg_config import command_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb of this distribution; the exit code is the result."""
    return command_line.main(commands, argv, prog="python -m fg_checkpoint")


if __name__ == "__main__":
    sys.exit(main())
