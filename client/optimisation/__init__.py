"""How what trains at a center takes its steps: rates, gradients, moments and averages."""
