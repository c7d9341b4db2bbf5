"""The centers as the round loop sees them, over any Flower Grid."""
