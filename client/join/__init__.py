"""What an engineer does once: checks with their remedies, a key, an answer, two processes."""
