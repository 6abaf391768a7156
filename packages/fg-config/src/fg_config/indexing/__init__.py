"""Names of a project and where they stand: what an editor asks to jump, to list uses, to complete and to explain."""
