"""`forgather tls token`: tokens with a name and limits, for people and programs without a certificate."""

from __future__ import annotations

import argparse

from fg_tls.commands.action import Action, as_json, day, say, show, span


def _configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="token_action", required=True, metavar="{add,list,remove}")
    add, show_all, remove = (
        kinds.add_parser(name, help=text, description=text)
        for name, text in (
            ("add", "make a token and show it, this once"),
            ("list", "list the tokens of a service, without what is secret"),
            ("remove", "refuse a token from now on"),
        )
    )
    for each in (add, show_all, remove):
        each.add_argument("--service", required=True, metavar="NAME", help="inference, dataset, server, …")
    for each in (add, remove):
        each.add_argument("name", metavar="NAME", help="who or what uses the token")
    add.add_argument("--scope", action="extend", nargs="+", metavar="SCOPE", help="limit it to these (default: none)")
    add.add_argument(
        "--expires", type=span, metavar="SPAN", help="how long it holds, such as 30d (default: until removed)"
    )
    show_all.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _run(args: argparse.Namespace) -> int:
    return {"add": _add, "list": _list, "remove": _remove}[args.token_action](args)


def _add(args: argparse.Namespace) -> int:
    from fg_tls.clock import SYSTEM
    from fg_tls.endpoints import endpoints, service_directory
    from fg_tls.listener.named_tokens import add_token

    unknown = not service_directory(args.service).exists() and not endpoints(args.service)
    expires = SYSTEM() + args.expires if args.expires else None
    print(add_token(args.service, args.name, args.scope, expires=expires))
    until = f" until {day(expires)}" if expires else ""
    say(f"this is the token {args.name!r} for {args.service}{until}; it is not kept and cannot be shown again")
    if unknown:
        say(f"warning: no server of a service {args.service!r} has ever run here; check the name")
    return 0


def _list(args: argparse.Namespace) -> int:
    from fg_tls.listener.named_tokens import list_tokens

    found = list_tokens(args.service)
    if args.json:
        entries = [
            {
                "name": each.name,
                "scopes": None if each.scopes is None else sorted(each.scopes),
                "created": each.created.isoformat(),
                "expires": each.expires.isoformat() if each.expires else None,
            }
            for each in found
        ]
        print(as_json(entries))
        return 0
    show((each.name, _described(each.scopes, day(each.expires) if each.expires else None)) for each in found)
    if not found:
        say(
            f"{args.service} has no named tokens; make one with `forgather tls token add --service {args.service} NAME`"
        )
    return 0


def _described(scopes: frozenset[str] | None, until: str | None) -> str:
    limits = "every scope" if scopes is None else " ".join(sorted(scopes)) or "no scope"
    return f"{limits}, until {until}" if until else limits


def _remove(args: argparse.Namespace) -> int:
    from fg_tls.listener.named_tokens import remove_token

    remove_token(args.service, args.name)
    print(f"{args.service} refuses the token {args.name!r} from now on")
    return 0


ACTIONS = {"token": Action("make, list and remove tokens with a name and limits", _configure, _run)}
