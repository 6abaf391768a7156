"""What clients may call a server: by the names of its certificate, and beyond loopback by those of its machine."""

from __future__ import annotations

import logging

from fg_tls.errors import CertificateError
from fg_tls.listener.binding import is_loopback
from fg_tls.pki.certificates import read_pem
from fg_tls.pki.contexts import Live, Source
from fg_tls.pki.names import Names, as_address

logger = logging.getLogger(__name__)


class CertifiedNames:
    """The names in the certificate of a server, as it is now: a renewed one may have more of them.

    Raises:
        TlsError: the certificate cannot be used.
    """

    def __init__(self, source: Source) -> None:
        self._live = Live(source)
        self._names = self._read()

    def __call__(self) -> Names:
        if self._live.changed():
            try:
                self._names = self._read()
            except CertificateError as error:
                logger.warning("keeping the names that were certified before: %s", error)
        return self._names

    def _read(self) -> Names:
        path = self._live.material.certificate_file
        if path is None:
            return Names()
        try:
            pem = path.read_bytes()
        except OSError as error:
            raise CertificateError(f"cannot read {path}: {error.strerror}") from error
        return read_pem(pem, str(path))[0].names


def names_beyond_loopback(host: str) -> Names:
    """The address that a server is bound to, and the names of this machine; nothing for a server on loopback."""
    if is_loopback(host):
        return Names()
    from fg_tls.host.this_host import names_of_this_host

    address = as_address(host)
    bound = Names(addresses=() if address is None or address.is_unspecified else (address,))
    return bound | names_of_this_host()
