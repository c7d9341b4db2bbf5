"""The center's own page: what it does, what left, and whether federation helps here. It stays on this machine."""
