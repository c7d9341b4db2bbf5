"""Rules that hold a minority of lying centers off the mean of a round."""
