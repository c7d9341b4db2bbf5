"""A run at the coordinator: launched, watched, and what its files say of it."""
