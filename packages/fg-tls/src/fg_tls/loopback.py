"""Sockets that only this machine can reach."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys

from fg_tls.errors import AddressError, PortInUseError


def bind_loopback(host: str, port: int) -> socket.socket:
    """A TCP socket bound to a loopback address; port 0 takes a free one. It refuses connections until it is served.

    Bind before slow preparations, such as loading a model, so that a port in use is reported at once.

    Raises:
        AddressError: `host` is not a loopback address, or the address cannot be used.
        PortInUseError: another program listens there.
    """
    address = loopback_address(host)
    if not 0 <= port <= 65535:
        raise AddressError(f"port {port} is not between 0 and 65535")
    listener = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
    except OSError as error:
        listener.close()
        raise _explained(error, host, port) from error
    return listener


def loopback_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """`host` as an address of this machine only; the one name that is known is `localhost`.

    Raises:
        AddressError: it is anything else.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host.lower() == "localhost" else host.strip("[]"))
    except ValueError:
        address = None
    if address is None or str(address) not in ("127.0.0.1", "::1"):
        raise AddressError(
            f"refuses to listen on {host!r}: requests and tokens would leave this machine in clear text; listen on "
            "127.0.0.1, and from elsewhere use a tunnel (ssh -L PORT:127.0.0.1:PORT THIS_MACHINE)"
        )
    return address


def _explained(error: OSError, host: str, port: int) -> AddressError | PortInUseError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(f"port {port} on {host} is in use; choose another one (0 takes any free port)")
    if error.errno == errno.EACCES:
        return AddressError(f"port {port} on {host} needs privileges; choose one from 1024 upwards")
    return AddressError(f"cannot listen on {host} port {port}: {error.strerror}")
