"""What an engineer at a hospital types."""
