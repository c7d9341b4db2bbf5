"""ClinicalFMamba: two registered images of a case fused into one, in 2D and 3D (arXiv 2508.03008)."""
