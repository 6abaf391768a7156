"""The life of a member: it joins, renews itself, and follows what the issuer tells.

`joining` happens once, with a token, over an `issuer_connection` that trusts nobody yet. From then on `upkeep` sees to
`renewal`, also where names and addresses change (`moving`), and to the bulletins of the issuer, by the questions of
`asking`. The `keeper` of each server calls it all the time; where no server runs, whoever connects does.
"""
