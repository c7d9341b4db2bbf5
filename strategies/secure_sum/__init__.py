"""Sums of centers' numbers that show no single center's: masks that cancel, secrets shared among the centers."""
