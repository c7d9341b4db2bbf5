"""What patients whose cases train are promised: noise, its accountant, and a ledger for the life of the data."""
