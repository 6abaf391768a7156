"""`forgather tls mint`, `install`, `export-ca`, `import-ca`: certificates as files, for hosts that cannot join."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fg_tls.commands.action import ROLES, Action, add_names, day, named, say, show


def _configure_mint(parser: argparse.ArgumentParser) -> None:
    add_names(parser, "what the certificate is for")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where to write the files")
    parser.add_argument("--role", choices=ROLES, default="member", help="default: %(default)s")


def _mint(args: argparse.Namespace) -> int:
    from fg_tls.host.provisioning import mint
    from fg_tls.host.store import Store

    certificate = mint(Store(), named(args), args.output, role=args.role)
    show(
        [
            ("certificate", f"{certificate.names}, until {day(certificate.not_after)}; it does not renew itself"),
            ("files", f"{args.output}: server.crt, server.key, ca.crt"),
            ("next", "bring them to that host by a way that nobody else can read, and run there:\n"
             "forgather tls install --cert server.crt --key server.key --ca ca.crt"),
        ]
    )  # fmt: skip
    return 0


def _configure_install(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cert", type=Path, required=True, metavar="FILE", help="certificate chain, as PEM")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="its private key, as PEM")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the authority behind it, to be trusted by this host")


def _install(args: argparse.Namespace) -> int:
    from fg_tls.host.provisioning import install
    from fg_tls.host.store import Store

    certificate = install(Store(), args.cert, args.key, args.ca)
    show(
        [
            ("certificate", f"{certificate.names or certificate.common_name}"),
            ("", f"from {certificate.issuer}, until {day(certificate.not_after)}"),
            ("next", "restart your servers; `forgather tls status` shows what is in force"),
        ]
    )
    return 0


def _configure_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: print it")


def _export(args: argparse.Namespace) -> int:
    from fg_config.files import atomic_write
    from fg_tls.host.provisioning import export_authority
    from fg_tls.host.store import Store

    pem = export_authority(Store())
    if args.output is None:
        sys.stdout.write(pem.decode("ascii"))
        return 0
    atomic_write(args.output, pem)
    say(
        f"{args.output} holds the authority and nothing secret; elsewhere: `forgather tls import-ca {args.output.name}`"
    )
    return 0


def _configure_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="the certificate of an authority, as PEM")
    parser.add_argument("--name", help="what to call it here (default: as it calls itself)")


def _import(args: argparse.Namespace) -> int:
    from fg_tls.host.provisioning import import_authority
    from fg_tls.host.store import Store

    authority = import_authority(Store(), args.path, name=args.name)
    show(
        [
            ("trusted", f"{authority.common_name}, until {day(authority.not_after)}"),
            ("sha256", authority.fingerprint),
            ("next", "compare that line with what its owner sees; running servers trust it already"),
        ]
    )
    if not authority.is_constrained:
        say(f"{authority.common_name} has no name constraints: whoever has its key can be any server to this host")
    return 0


ACTIONS = {
    "mint": Action("make certificate and key for a host that cannot join", _configure_mint, _mint),
    "install": Action("use a certificate that was made elsewhere", _configure_install, _install),
    "export-ca": Action("write the authority of this cluster for others to trust", _configure_export, _export),
    "import-ca": Action("trust another authority", _configure_import, _import),
}
