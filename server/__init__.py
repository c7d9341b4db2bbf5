"""The coordinator: round loop, adapter bank, tracking, report."""
