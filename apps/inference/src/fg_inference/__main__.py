"""`python -m fg_inference inf server|client …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fg_inference import commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb of this distribution; the exit code is the result."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m fg_inference")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in commands.VERBS.items():
        commands.configure(verb, verbs.add_parser(verb, help=text, description=text), words[1:])
    args = parser.parse_args(words)
    try:
        return commands.run(args.verb, args)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except ValueError as error:
        code = getattr(error, "exit_code", None)  # errors of this and the other distributions that a user can correct
        if code is None:
            raise
        sys.stderr.write(f"{error}\n")
        return int(code)


if __name__ == "__main__":
    sys.exit(main())
