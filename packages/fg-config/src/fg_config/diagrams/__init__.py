"""Drawing small directed graphs as SVG, without Graphviz."""
