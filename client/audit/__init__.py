"""What an adapter gives away of a center's own patients, measured at the center, for the center."""
