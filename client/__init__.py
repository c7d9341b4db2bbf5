"""The center: trainer, evaluation, report, and the thin ClientApp."""
