"""An adapter of the bank on a new scan: the contour on the scan's own grid, and its figures."""
