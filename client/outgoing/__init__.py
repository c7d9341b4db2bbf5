"""What may leave a center, what waits to leave, and the ledger of what has left."""
