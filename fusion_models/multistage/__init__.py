"""Multi-stage intermediate fusion of CT and PET for classification, and its baselines."""
