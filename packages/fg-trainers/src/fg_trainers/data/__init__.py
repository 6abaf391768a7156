"""From rows to tensors: tokenize, collate, and the loader that fetches whole updates."""
