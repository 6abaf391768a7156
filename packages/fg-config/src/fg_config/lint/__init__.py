"""Mistakes that a config can be read with: rules, one module per family of codes, and how their findings are shown."""
