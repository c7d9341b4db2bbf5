"""The coordinator's page: what a study does now, for a browser, read only."""
