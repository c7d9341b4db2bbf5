"""A center's own report and its pictures, which stay there."""
