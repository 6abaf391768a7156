"""Coverage-guided fuzzing of the config language (`hatch run fuzz`)."""
