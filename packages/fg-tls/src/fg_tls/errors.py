"""What can go wrong before a listener is open.

TlsError                     base; a mistake that a user or the author of a server can correct
├── AddressError             the address cannot be used, or would leave this machine in clear text
├── PortInUseError           another program listens there
├── UnlistedRouteError       a route without declared access, or declared access without a route
├── TokenFileError           a token file is missing, readable by others, or holds no usable token
├── HostNameError            neither a host name nor an address
├── CertificateError         a certificate or key cannot be used
├── StoreError               a file of the TLS directory is missing, unsafe or broken
│   └── NotProvisionedError  this host has no certificate, or no authority
├── JoinError                a join token, a renewal or another request to an authority was refused
├── PeerError                a connection to a server failed, and why
└── EndpointError            a record of a running server cannot be read or written
"""

from __future__ import annotations

from typing import ClassVar


class TlsError(ValueError):
    """Base of all errors of this distribution; `str(error)` says what is wrong, where, and what to do."""

    exit_code: ClassVar[int] = 2


class AddressError(TlsError):
    """The address cannot be used, or would leave this machine in clear text."""


class PortInUseError(TlsError):
    """Another program listens on the port."""


class UnlistedRouteError(TlsError):
    """The routes of the application and its access table do not agree."""


class TokenFileError(TlsError):
    """A token file is missing, readable by others, or holds no usable token."""


class HostNameError(TlsError):
    """Neither a host name nor an address."""


class CertificateError(TlsError):
    """A certificate or key cannot be used."""


class StoreError(TlsError):
    """A file of the TLS directory is missing, unsafe or broken."""


class NotProvisionedError(StoreError):
    """This host has no certificate, or no authority."""


class JoinError(TlsError):
    """A join token, a renewal or another request to an authority was refused."""


class PeerError(TlsError):
    """A connection to a server failed; the text says why."""


class EndpointError(TlsError):
    """A record of a running server cannot be read or written."""
