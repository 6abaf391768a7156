"""`python -m fg_checkpoint checkpoint ls|verify PATH`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fg_checkpoint import commands
from fg_checkpoint.errors import CheckpointError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb of this distribution; the exit code is the result."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m fg_checkpoint")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in commands.VERBS.items():
        commands.configure(verb, verbs.add_parser(verb, help=text, description=text), words[1:])
    args = parser.parse_args(words)
    try:
        return commands.run(args.verb, args)
    except CheckpointError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
