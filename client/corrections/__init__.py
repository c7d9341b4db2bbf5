"""Contours that a clinician has corrected: compared with the prediction, and kept as labels."""
