"""What happens to adapters across centers and over time."""
