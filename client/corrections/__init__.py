"""Predictions that people corrected come back: compared, kept as labels with their origin, trained on next."""
