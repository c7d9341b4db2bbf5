"""What a center computes on its training cases."""
