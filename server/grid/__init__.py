"""The centers connected to a run: one request to each, late answers, retries."""
