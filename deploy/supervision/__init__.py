"""Programs that are kept running."""
