"""Builds the documentation site from the Markdown in the repository: `hatch run docs`."""
