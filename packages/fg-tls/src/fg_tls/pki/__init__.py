"""Names, keys and certificates, and the TLS contexts that are made of them."""
