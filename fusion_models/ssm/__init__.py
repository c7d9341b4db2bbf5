"""State-space building blocks: the selective scan, its parametrisation, and the 2D blocks made of them."""
