"""`forgather tls init`, `status`, `renew`, `enable`, `disable`, `clean`: the certificate of this host."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from fg_tls.commands.action import Action, add_names, as_json, day, named, no_flags, say, say_left_out, show

if TYPE_CHECKING:
    from fg_tls.host.status import AuthorityStatus, MemberStatus, Status
    from fg_tls.host.store import Store
    from fg_tls.pki.certificates import Certificate
    from fg_tls.pki.names import Names


def _configure_init(parser: argparse.ArgumentParser) -> None:
    add_names(parser, "name this too, besides the names and private addresses of this host")
    parser.add_argument("--ca-name", metavar="NAME", help="what browsers call the authority")
    parser.add_argument("--force", action="store_true", help="begin anew; the directory as it was is kept beside it")


def _init(args: argparse.Namespace) -> int:
    from fg_tls.host.founding import init
    from fg_tls.host.store import Store

    store = Store()
    asked = named(args)
    certificate = init(store, names=asked, name=args.ca_name, force=args.force, say=say).certificate
    authority = store.authority().certificate
    show(
        [
            ("authority", f"{authority.common_name}, on this host, until {day(authority.not_after)}"),
            ("certificate", f"{certificate.names}"),
            ("", f"until {day(certificate.not_after)}; it renews itself"),
            ("for curl", f"--cacert {store.trust_path}"),
            ("next", "restart your servers, which use TLS from now on\n"
             "another host: `forgather tls deploy HOST` here, or `forgather tls join-token` here and "
             "`forgather tls join` there\nbrowsers on this machine: `forgather tls trust-system`"),
        ]
    )  # fmt: skip
    return say_left_out(store, certificate, asked)


def _configure_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _status(args: argparse.Namespace) -> int:
    from fg_tls.host.status import status
    from fg_tls.host.store import Store

    found = status(Store())
    if args.json:
        print(as_json(found.to_json()))
    else:
        _show_status(found)
    return 1 if found.warnings else 0


def _show_status(found: Status) -> None:
    if not found.provisioned:
        show(
            [
                ("directory", found.directory),
                ("certificate", "none, so servers stay on loopback"),
                ("next", "`forgather tls init` on the first host, `forgather tls join` on the others"),
            ]
        )
        return
    show(
        [
            ("directory", found.directory),
            ("tls", "enabled" if found.enabled else "disabled"),
            ("certificate", found.certificate_file),
            ("names", ", ".join(found.names)),
            ("valid", found.not_before and found.not_after and f"{day(found.not_before)} to {day(found.not_after)}"),
            ("renewal", _renewal(found)),
            ("member", found.member and f"{found.member} ({found.role}) of cluster {found.cluster}"),
            ("authority", "\n".join(map(_authority, found.authorities))),
            ("", "its key is on this host" if found.authority_here else ""),
            ("imported", "\n".join(map(_authority, found.imported))),
            ("issuers", ", ".join(found.issuers)),
            ("members", "\n".join(map(_member, found.members))),
        ]
    )
    for warning in found.warnings:
        say(f"warning: {warning}")


def _member(member: MemberStatus) -> str:
    until = f", until {day(member.not_after)}" if member.not_after else ""
    return f"{' '.join(member.names)} ({member.id}, {member.role}), seen {day(member.last_seen)}{until}"


def _renewal(found: Status) -> str:
    if found.revoked:
        return "none, for the certificate is revoked"
    if found.renew_at is None:
        return "by whoever made it"
    return f"by itself, about {day(found.renew_at)}"


def _authority(authority: AuthorityStatus) -> str:
    limits = "for private names" if authority.constrained else "without name constraints"
    return f"{authority.name}, until {day(authority.not_after)}, {limits}"


def _configure_renew(parser: argparse.ArgumentParser) -> None:
    add_names(parser, "name this too from now on", prefix="add-")


def _renew(args: argparse.Namespace) -> int:
    from fg_tls.host.store import Store
    from fg_tls.host.this_host import names_of_this_host
    from fg_tls.membership.renewal import renew

    wanted = named(args)
    # What it says about a failure is the error that ends this command; once is enough.
    logging.getLogger("fg_tls.membership.renewal").addHandler(logging.NullHandler())
    store = Store()
    certificate = renew(store, names=names_of_this_host() | wanted, progress=say).certificate
    _set_names(store, certificate, wanted)
    show([("certificate", f"{certificate.names}"), ("", f"until {day(certificate.not_after)}")])
    return say_left_out(store, certificate, wanted)


def _set_names(store: Store, certificate: Certificate, wanted: Names) -> None:
    """Keep the names that a person has added and the authority has agreed to."""
    from fg_tls.membership.renewal import agreed

    known = store.settings().names
    new = known | agreed(wanted, certificate)
    if new != known:
        store.save_settings(hostnames=list(new.hostnames), addresses=list(map(str, new.addresses)))


def _enable(args: argparse.Namespace) -> int:
    from fg_tls.host.provisioning import set_enabled
    from fg_tls.host.store import Store

    set_enabled(Store(), True)
    print("TLS is enabled; servers use it when they start the next time")
    return 0


def _disable(args: argparse.Namespace) -> int:
    from fg_tls.host.provisioning import set_enabled
    from fg_tls.host.store import Store

    set_enabled(Store(), False)
    print("TLS is disabled; servers stay on loopback when they start the next time, and the certificate is kept")
    return 0


def _configure_clean(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="really remove them")


def _clean(args: argparse.Namespace) -> int:
    from fg_tls.errors import StoreError
    from fg_tls.host.provisioning import clean
    from fg_tls.host.store import Store
    from fg_tls.host.trust_system import INSTALLED

    store = Store()
    if not store.directory.is_dir():
        print(f"there is nothing to remove: {store.directory} does not exist")
        return 0
    if not args.yes:
        loss = " and the authority, without which no host can renew" if store.authority_path.exists() else ""
        raise StoreError(
            f"this removes key and certificate of this host{loss} from {store.directory}; "
            "if that is meant, run `forgather tls clean --yes`"
        )
    left = clean(store)
    print(f"{store.directory} holds no keys and certificates of ours any more")
    for path in left:
        if path.parent != store.directory / INSTALLED:
            say(f"left, because it is not ours: {path}")
    if (store.directory / INSTALLED).is_dir():
        say("stores of this machine still trust the authority; run `forgather tls trust-system --undo`")
    return 0


ACTIONS = {
    "init": Action("make an authority on this host, and a certificate for it", _configure_init, _init),
    "status": Action("show certificate, authority and renewal; 1 if something needs you", _configure_status, _status),
    "renew": Action("renew the certificate now, with more names if wanted", _configure_renew, _renew),
    "enable": Action("let servers use the certificate", no_flags, _enable),
    "disable": Action("keep the certificate and do not use it", no_flags, _disable),
    "clean": Action("remove keys and certificates of this host", _configure_clean, _clean),
}
