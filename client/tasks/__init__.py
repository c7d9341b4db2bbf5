"""What a center does for each task that a network is asked for: one module a task, under its name in the table."""
