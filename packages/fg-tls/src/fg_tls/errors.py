"""What can go wrong before a listener is open.

TlsError                     base; a mistake that a user or the author of a server can correct
├── AddressError             the address cannot be used, or would leave this machine in clear text
├── PortInUseError           another program listens there
├── UnlistedRouteError       a route without declared access, or declared access without a route
└── TokenFileError           a token file is missing, readable by others, or holds no usable token
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
