"""Strategies compared over seeds and orders of centers: one file in, tables, tests and drawings out."""
