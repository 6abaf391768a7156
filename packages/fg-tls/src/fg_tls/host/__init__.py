"""The TLS directory of this host, and what is done to it by hand."""
