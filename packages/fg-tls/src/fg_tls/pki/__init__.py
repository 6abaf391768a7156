"""Names, keys and certificates, and the TLS contexts that are made of them.

`names` says what a server may be called and what an authority may vouch for, `certificates` what a certificate says;
`authority` signs them, `checks` says which are taken over, and `contexts` makes TLS of them. `revocation` and
`succession` are what an authority signs besides certificates: who is refused, and who follows it.
"""
