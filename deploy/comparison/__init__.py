"""`concilium benchmark`: strategies compared over seeds and orders of centers."""
