"""Aggregation schemes, one file each."""
