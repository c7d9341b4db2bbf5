"""Survival heads: likelihoods, risks and curves, and networks that read health records alone."""
