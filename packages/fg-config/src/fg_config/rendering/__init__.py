"""From templates to text: files and their sub-templates, the shorthand, one render, and where each line came from."""
