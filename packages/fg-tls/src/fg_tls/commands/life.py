"""`forgather tls revoke` and `rotate-ca`: the end of a membership, and of an authority."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fg_tls.commands.action import Action, say, show

if TYPE_CHECKING:
    from fg_tls.issuing.rotation import RotationReport


def _configure_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("who", metavar="MEMBER|HOST|SERIAL", help="as `forgather tls status` shows it here")


def _revoke(args: argparse.Namespace) -> int:
    from fg_tls.host.store import Store
    from fg_tls.issuing.revoking import revoke
    from fg_tls.issuing.running import running_issuer

    found = revoke(Store(), args.who)
    unheard = "" if running_issuer() else "no issuer runs here, so that nobody hears of it: run `forgather tls serve`\n"
    count = f"{found.certificates} certificate{'' if found.certificates == 1 else 's'}"
    show(
        [
            ("revoked", f"{found.hostname or 'a member'} ({found.member}), with {count}"),
            ("next", "servers of this host refuse it from the next request on, the others as soon as they hear of it\n"
             f"{unheard}"
             "to let that host come back: `forgather tls join-token` here, `forgather tls join --force` there"),
        ]
    )  # fmt: skip
    return 0


def _configure_rotate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Replace the authority while everybody can talk to everybody: first all trust the new one, then all get a "
        "certificate from it, then all drop the old one. Run it again to go on; nothing is lost in between."
    )
    parser.add_argument("--status", action="store_true", help="tell how far it is, and change nothing")
    parser.add_argument("--force", action="store_true", help="go on without members not seen for 30 minutes")
    parser.add_argument(
        "--compromised", action="store_true", help="the old key was stolen: its word for the new one counts for nothing"
    )


def _rotate(args: argparse.Namespace) -> int:
    from fg_tls.host.store import Store
    from fg_tls.issuing.rotation import rotate, standing

    store = Store()
    if args.status:
        return _show_standing(standing(store), store.authority().certificate.common_name)
    report = rotate(store, force=args.force, compromised=args.compromised)
    if report.finished:
        authority = store.authority().certificate
        show([("authority", authority.common_name), ("", "it has replaced the old one, which nobody trusts any more")])
        _say_minted(report)
        return 0
    _show_waiting(report)
    return 0


def _show_standing(report: RotationReport | None, authority: str) -> int:
    if report is None:
        show([("authority", authority), ("", "it is not being replaced")])
    else:
        _show_waiting(report)
    return 0


def _show_waiting(report: RotationReport) -> None:
    show(
        [
            ("phase", report.phase),
            ("waiting for", "\n".join(report.waiting)),
            ("not seen lately", "\n".join(report.away)),
            ("next", "members follow by themselves while a server runs there, if `forgather tls serve` runs here"),
        ]
    )
    say(
        "run `forgather tls rotate-ca` again to go on; --force leaves behind who has not been seen for 30 minutes, and "
        "`forgather tls revoke MEMBER` ends the wait for a host that is gone"
    )
    _say_minted(report)


def _say_minted(report: RotationReport) -> None:
    for each in report.minted:
        say(f"mint anew, from phase reissue on: {each}; the files that its host has are of the old authority")


ACTIONS = {
    "revoke": Action("refuse a member from now on", _configure_revoke, _revoke),
    "rotate-ca": Action("replace the authority while everybody goes on talking", _configure_rotate, _rotate),
}
