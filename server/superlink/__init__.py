"""The coordinator's hand on Flower's SuperLink."""
