"""New workspaces, projects and configs: what they are made of, written all or nothing."""
