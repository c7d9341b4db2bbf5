"""Who belongs to the consortium: authority, kits, the registry of centers, their agreement."""
