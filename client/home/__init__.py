"""A center's home on its disk, and what the center agreed to."""
