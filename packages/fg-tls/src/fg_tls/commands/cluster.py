"""`forgather tls join-token`, `join`, `deploy`, `serve`: how hosts come together."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fg_tls.commands.action import Action, add_names, day, named, say, show
from fg_tls.errors import JoinError

_PREFIX = "fgj"
_VARIABLE = "FORGATHER_JOIN"


def refuse_tokens(argv: Sequence[str]) -> None:
    """Keep join tokens out of command lines, and out of the messages about them.

    Raises:
        JoinError: one of the words holds a join token.
    """
    if any(f"{_PREFIX}{number}." in word for word in argv for number in range(10)):
        raise JoinError(
            "a join token on the command line can be read by everybody on this machine and stays in the history of "
            "the shell; run `forgather tls join` and paste it when asked, or write it to a file of mode 0600 for "
            "`forgather tls join --token-file FILE`"
        )


# --- join ------------------------------------------------------------------------------------------------------------


def _configure_join(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make this host a member of a cluster. The join token is read from --token-file, from the environment variable "
        f"{_VARIABLE}, from the standard input, or asked for."
    )
    parser.add_argument("--token-file", metavar="FILE", help="a file that holds the token; - is the standard input")
    add_names(parser, "ask for this instead of the names and addresses of this host")
    parser.add_argument("--force", action="store_true", help="leave another cluster; its files are kept beside ours")


def _join(args: argparse.Namespace) -> int:
    from fg_tls.join_token import JoinToken
    from fg_tls.joining import join
    from fg_tls.store import Store

    token = JoinToken.decode(_token(args.token_file))
    store = Store()
    certificate = join(store, token, names=named(args) or None, force=args.force, progress=say).certificate
    member = certificate.member
    show(
        [
            ("joined", f"the cluster of {certificate.issuer}, as {member.role} {member.id}" if member else ""),
            ("certificate", f"{certificate.names}"),
            ("", f"until {day(certificate.not_after)}; it renews itself while a server runs here"),
            ("next", "restart your servers, which use TLS from now on"),
        ]
    )
    return 0


def _token(file: str | None) -> str:
    if file is not None and file != "-":
        return _of_file(Path(file))
    if file is None and (given := os.environ.get(_VARIABLE)):
        return given
    if file is None and sys.stdin.isatty():
        from getpass import getpass

        return getpass("join token (it is not shown): ")
    return sys.stdin.readline()


def _of_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise JoinError(f"cannot read the join token from {path}: {reason}") from error


ACTIONS = {
    "join": Action("make this host a member, with a join token", _configure_join, _join),
}
