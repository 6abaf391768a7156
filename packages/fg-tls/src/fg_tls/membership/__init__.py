"""The life of a member: it joins, renews itself, and follows what the issuer tells."""
