"""Editors: one table of tokens, a tokenizer that runs it, and the syntax files generated from it."""
