"""The host of the authority: its books, what it signs, and what it tells the members.

Begin with `issuer`, which judges requests by the rules in `granting` and writes into the `books`. `issuer_app` carries
them over HTTP and `running` serves that; `answers` is for members, who get a `bulletin` with everything they keep.
A host joins with a `join_token` (the messages are in `join_messages`), by hand or by `deploying`, and comes back by
`proof` when its certificate has run out. `revoking` ends a membership, as `leaving` does when its host joins again;
`rotation` ends an authority.
"""

from __future__ import annotations

from typing import Final

ISSUER_PORT: Final = 8767  # where an issuer listens unless it is told otherwise
