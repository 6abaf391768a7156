"""What builds, checks and tests the repository. Nothing here is part of a distribution."""
