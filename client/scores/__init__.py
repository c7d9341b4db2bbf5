"""What a center computes on cases that nothing trains on."""
