"""Certificates: the consortium's authority and the server's own."""
