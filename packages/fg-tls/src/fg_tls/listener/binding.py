"""Sockets to listen on, and when one may leave this machine."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys

from fg_tls.errors import AddressError, PortInUseError
from fg_tls.listener.handover import inherited
from fg_tls.pki.names import Address, as_address


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 takes a free one. It refuses connections until it is served.

    Bind before slow preparations, such as loading a model, so that a port in use is reported at once. A socket for the
    port that this process was started with (see `fg_tls.listener.handover`) is taken instead of a new one.

    Raises:
        AddressError: `host` is no address, or it cannot be used.
        PortInUseError: another program listens there.
    """
    address = listening_address(host)
    if not 0 <= port <= 65535:
        raise AddressError(f"port {port} is not between 0 and 65535")
    given = inherited(port)
    if given is not None:
        return given
    listener = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.version == 6:  # `::` takes IPv4 too; whether it does so unasked depends on the system
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((str(address), port))
    except OSError as error:
        listener.close()
        raise _explained(error, host, port) from error
    return listener


def listening_address(host: str) -> Address:
    """`host` as an address to listen on; the one name that is known is `localhost`.

    Raises:
        AddressError: it is no address.
    """
    address = as_address("127.0.0.1" if host.lower() == "localhost" else host)
    if address is None:
        raise AddressError(
            f"{host!r} is no address to listen on; write 127.0.0.1, 0.0.0.0 or an address of this machine"
        )
    return address


def refuse_clear_text(listener: socket.socket) -> None:
    """Check that nothing leaves this machine through `listener`.

    Raises:
        AddressError: it is not bound to loopback.
    """
    host, port = listener.getsockname()[:2]
    if not is_loopback(host):
        raise AddressError(
            f"refuses to listen on {host} port {port} in clear text: everybody on the network could read tokens and "
            "requests; run `forgather tls init` (or `forgather tls join` where an authority exists), or listen on "
            "127.0.0.1 and use a tunnel (ssh -L PORT:127.0.0.1:PORT THIS_MACHINE); `--insecure` listens all the same"
        )


def is_loopback(host: str) -> bool:
    """Whether a bound address can be reached from this machine only."""
    return ipaddress.ip_address(host).is_loopback


def _explained(error: OSError, host: str, port: int) -> AddressError | PortInUseError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(f"port {port} on {host} is in use; choose another one (0 takes any free port)")
    if error.errno == errno.EACCES:
        return AddressError(f"port {port} on {host} needs privileges; choose one from 1024 upwards")
    return AddressError(f"cannot listen on {host} port {port}: {error.strerror}")
