"""Who belongs to the consortium: authority, kits, the roll of centers, their terms."""
