"""A center leaves a study for good: what is its own is removed, what it entered is taken back, a replay prepared."""
