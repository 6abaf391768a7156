"""The host of the authority: its books, what it signs, and what it tells the members."""
