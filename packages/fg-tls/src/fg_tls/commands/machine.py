"""`forgather tls doctor` and `trust-system`: what this machine makes of the certificates of others, and of ours."""

from __future__ import annotations

import argparse

from fg_tls.commands.action import Action, as_json, say


def _configure_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="HOST:PORT", help="or a URL of https, whose path is asked for too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a sentence")


def _doctor(args: argparse.Namespace) -> int:
    from fg_tls.clients.doctor import diagnose, target_of
    from fg_tls.host.store import Store

    target = target_of(args.server)
    found = diagnose(target.host, target.port, Store(), path=target.path)
    if args.json:
        print(as_json({"cause": found.cause, "sentence": found.sentence, "remedy": found.remedy}))
    else:
        print(found)
    return 0 if found.healthy else 1


def _configure_trust_system(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--undo", action="store_true", help="make the machine forget the authority")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run none")


def _trust_system(args: argparse.Namespace) -> int:
    from fg_tls.host.store import Store
    from fg_tls.host.trust_system import Machine, carry_out, plan

    store = Store()
    steps = plan(store, Machine(), undo=args.undo)
    if args.dry_run:
        print(*steps, sep="\n", end="\n" if steps else "")
        return 0
    carry_out(store, steps, undo=args.undo)
    done, left = ([step for step in steps if step.needs_sudo is needed] for needed in (False, True))
    for step in done:
        print(f"{'forgotten by' if args.undo else 'trusted by'} {step.what}")
    if left:
        say("the store of the system belongs to root; run these commands to change it too:")
        print(*left, sep="\n")
    if not steps:
        say("there was nothing to undo" if args.undo else "every store here trusts the authority already")
    return 1 if left else 0


ACTIONS = {
    "trust-system": Action(
        "let the browsers of this machine trust our authority, or forget it", _configure_trust_system, _trust_system
    ),
    "doctor": Action("say in one sentence why a server cannot be reached with TLS", _configure_doctor, _doctor),
}
