"""Where values come from: the templates, blocks, assignments and flags behind each value of a config."""
