"""A host that is called otherwise, or has another address, asks for a certificate that says so.

Not at once: who looks for a network has three addresses in a minute. And not often: the issuer counts certificates.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from fg_tls.host.store import Store
from fg_tls.membership.renewal import missing_names
from fg_tls.pki.certificates import Certificate
from fg_tls.pki.names import Names, parse_names

_LASTING: Final = timedelta(minutes=5)  # for names that stay the same
# The issuer ends what asks for 1000 certificates within the 120 days for which it remembers each; this makes 960.
_BETWEEN_TWO: Final = timedelta(hours=3)


def has_moved(store: Store, certificate: Certificate, own: Names, now: datetime) -> bool:
    """Whether this host has had names for a while that `certificate` lacks, and that it would be given.

    `own` are those of this host. What the issuer has declined once is not asked for again.
    """
    lacking = list(_obtainable(store, certificate, own))
    state = store.read_state()
    since = moment(state.get("lacking_since"))
    if lacking != state.get("lacking", []) or (lacking and since is None):
        store.write_state(lacking=lacking or None, lacking_since=now.isoformat() if lacking else None)
        return False
    # Absolute, as a clock that was ahead must not put it off for ever.
    lasts = since is not None and abs(now - since) >= _LASTING
    return lasts and abs(now - certificate.not_before) >= _BETWEEN_TWO


def moment(written: object) -> datetime | None:
    """A time as state.json has it; None when there is none that can be read."""
    try:
        found = datetime.fromisoformat(str(written))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _obtainable(store: Store, certificate: Certificate, own: Names) -> tuple[str, ...]:
    limits = next((each.constraints for each in store.cluster_authorities()), None)
    declined = store.read_state().get("declined", [])
    missing = [each for each in missing_names(store, certificate, own) if each not in declined]
    return tuple(each for each in missing if limits is None or limits.permits(parse_names([each])))
