"""The interactive shell (`forgather -i`), completion, and the choice of an editor."""
