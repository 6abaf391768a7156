"""The verb `tls`: certificates of this host and of others, and what is wrong between them.

The sub-verbs stand in modules by what they are about. They read flags, call the functions that do the work, and tell
what happened and what comes next.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from fg_tls.commands import cluster, files, host, life, machine, tokens
from fg_tls.commands.action import Action

VERBS = {"tls": "give this host a certificate, let others join, and find out why two cannot talk"}

_ACTIONS: Final[dict[str, Action]] = {
    **host.ACTIONS,
    **cluster.ACTIONS,
    **life.ACTIONS,
    **files.ACTIONS,
    **machine.ACTIONS,
    **tokens.ACTIONS,
}


def configure(verb: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Add the sub-verbs.

    Raises:
        JoinError: a join token stands among the words, where everybody on the machine can read it.
    """
    cluster.refuse_tokens(argv)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", title="actions")
    for name, action in _ACTIONS.items():
        action.configure(actions.add_parser(name, help=action.help, description=action.help))


def run(verb: str, args: argparse.Namespace) -> int:
    """Carry out the sub-verb; 1 when it found something wrong.

    Raises:
        TlsError: what is asked for cannot be done.
    """
    return _ACTIONS[args.action].run(args)
