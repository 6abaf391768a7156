"""From graph to objects: what a spec resolves to, whether it may be called, and calling it."""
