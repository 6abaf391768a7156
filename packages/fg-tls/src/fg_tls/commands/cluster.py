"""`forgather tls join-token`, `join`, `deploy`, `serve`: how hosts come together."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fg_tls.commands.action import ROLES, Action, add_names, day, named, say, say_left_out, show, span
from fg_tls.errors import JoinError
from fg_tls.issuing import ISSUER_PORT

if TYPE_CHECKING:
    from fg_tls.issuing.issuer import Issuer
    from fg_tls.issuing.join_token import JoinToken
    from fg_tls.serving import Serving

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
        f"{_VARIABLE}, from the standard input, or asked for. One in the environment may stay there: a host that has "
        "joined its cluster does not join again."
    )
    parser.add_argument("--token-file", metavar="FILE", help="a file that holds the token; - is the standard input")
    add_names(parser, "ask for this instead of the names and addresses of this host, which the first renewal adds")
    parser.add_argument("--force", action="store_true", help="leave another cluster; its files are kept beside ours")


def _join(args: argparse.Namespace) -> int:
    from fg_tls.host.store import Store
    from fg_tls.issuing.join_token import JoinToken
    from fg_tls.membership.joining import is_member_of, join

    token = JoinToken.decode(_token(args.token_file))
    store, wanted = Store(), named(args)
    if args.token_file is None and _VARIABLE in os.environ and not args.force and is_member_of(store, token):
        print("this host has joined that cluster already")  # a container that is started again
        return 0
    certificate = join(store, token, names=wanted or None, force=args.force, progress=say).certificate
    member = certificate.member
    show(
        [
            ("joined", f"the cluster of {certificate.issuer}, as {member.role} {member.id}" if member else ""),
            ("certificate", f"{certificate.names}"),
            ("", f"until {day(certificate.not_after)}; it renews itself"),
            ("next", "restart your servers, which use TLS from now on"),
        ]
    )
    return say_left_out(store, certificate, wanted)


def _token(file: str | None) -> str:
    if file is not None and file != "-":
        return _of_file(Path(file))
    if file is None and (given := os.environ.get(_VARIABLE)):
        return given
    if file is None and sys.stdin.isatty():
        from getpass import getpass

        try:
            return getpass("join token (it is not shown): ")
        except EOFError:  # Ctrl-D
            return ""
    return sys.stdin.readline()


def _of_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise JoinError(f"cannot read the join token from {path}: {reason}") from error


# --- join-token and serve --------------------------------------------------------------------------------------------


def _add_listening(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: all addresses of this host)")
    parser.add_argument("--port", type=int, help=f"default: {ISSUER_PORT}")


def _port(args: argparse.Namespace) -> int:
    return ISSUER_PORT if args.port is None else args.port


def _configure_join_token(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make a token for one host, and listen until it was used, unless `forgather tls serve` runs here already. "
        "The token is the only output."
    )
    parser.add_argument("--role", choices=ROLES, default="member", help="of the host that joins (default: %(default)s)")
    names: dict[str, Any] = {"nargs": "+", "action": "extend", "default": [], "metavar": "NAME"}
    parser.add_argument("--name", dest="names", help="host names and addresses it gets, and no others", **names)
    parser.add_argument("--ttl", type=span, metavar="SPAN", help="how long the token holds (default: 15m, at most 7d)")
    parser.add_argument("--no-wait", action="store_true", help="do not listen; `forgather tls serve` will")
    _add_listening(parser)


def _join_token(args: argparse.Namespace) -> int:
    from fg_tls.host.store import Store
    from fg_tls.issuing.issuer import TOKEN_LIFETIME, Issuer
    from fg_tls.issuing.running import running_issuer, serve_one_token
    from fg_tls.issuing.whereabouts import certify_names, every_address, token_endpoints
    from fg_tls.pki.names import parse_names

    store, running = Store(), running_issuer()
    lifetime, names = args.ttl or TOKEN_LIFETIME, parse_names(args.names)
    advice = f"paste it into `forgather tls join` on the other host; it holds once, for {_in_words(lifetime)}"

    def make(issuer: Issuer, endpoints: tuple[str, ...]) -> JoinToken:
        return issuer.create_token(endpoints=endpoints, role=args.role, names=names, lifetime=lifetime)

    def ready(token: JoinToken, serving: Serving) -> None:
        print(token.encode(), flush=True)
        say(f"{advice}\nlistening on port {serving.port} until then; Ctrl-C ends it, and the token with it")

    if running or args.no_wait:
        certify_names(store)
        where = (running.host, running.port) if running else (args.host or every_address(store), _port(args))
        print(make(Issuer(store), token_endpoints(store, *where)).encode())
        if running and (args.host, args.port) != (None, None):
            say(f"--host and --port are not used: the issuer of this host runs already, on {where[0]} port {where[1]}")
        say(advice if running else f"{advice}, while `forgather tls serve` runs here")
        return 0
    used = serve_one_token(store, make, host=args.host, port=_port(args), ready=ready)
    say("a host has joined" if used else "nobody has used the token, and nothing listens for it any more")
    return 0 if used else 1


def _in_words(lifetime: timedelta) -> str:
    seconds = round(lifetime.total_seconds())
    units = (("days", 86400), ("hours", 3600), ("minutes", 60))
    unit, size = next(((unit, size) for unit, size in units if seconds > size and seconds % size == 0), ("seconds", 1))
    return f"{seconds // size} {unit}"


def _configure_serve(parser: argparse.ArgumentParser) -> None:
    parser.description = "Let hosts join and renew, and tell them what has changed, until Ctrl-C."
    _add_listening(parser)


def _serve(args: argparse.Namespace) -> int:
    from fg_tls.host.store import Store
    from fg_tls.issuing.running import serve_issuer

    def ready(serving: Serving) -> None:
        say(f"the issuer listens on {serving.host} port {serving.port}; Ctrl-C ends it")

    serve_issuer(Store(), host=args.host, port=_port(args), ready=ready)
    return 0


# --- deploy ----------------------------------------------------------------------------------------------------------


def _configure_deploy(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Let other hosts join over ssh: each gets a join token on its standard input, and makes its own key."
    )
    parser.add_argument("destinations", nargs="+", metavar="DEST", help="as ssh takes it, such as user@box.local")
    option: dict[str, Any] = {"action": "append", "default": [], "metavar": "OPTION"}
    parser.add_argument("--ssh-option", dest="ssh_options", help="for ssh, such as --ssh-option=-p2222", **option)
    parser.add_argument("--remote-command", metavar="COMMAND", help="default: forgather tls join")
    parser.add_argument("--role", choices=ROLES, default="member", help="of those hosts (default: %(default)s)")
    _add_listening(parser)


def _deploy(args: argparse.Namespace) -> int:
    from fg_tls.host.store import Store
    from fg_tls.issuing.deploying import REMOTE_COMMAND, deploy

    done = deploy(
        Store(),
        args.destinations,
        ssh_options=args.ssh_options,
        remote_command=args.remote_command or REMOTE_COMMAND,
        role=args.role,
        host=args.host,
        port=_port(args),
    )
    print(*done, sep="\n")
    return 0 if all(each.joined for each in done) else 1


ACTIONS = {
    "join-token": Action("make a token that lets one host join", _configure_join_token, _join_token),
    "join": Action("make this host a member, with a join token", _configure_join, _join),
    "deploy": Action("let other hosts join, over ssh", _configure_deploy, _deploy),
    "serve": Action("serve joining and renewal on the host of the authority", _configure_serve, _serve),
}
