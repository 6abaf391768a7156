"""From text to graph: YAML nodes, tags, merges and the arguments of calls."""
