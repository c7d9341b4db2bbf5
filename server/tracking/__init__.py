"""A study in MLflow: its history, its reports and its adapters; the only package that imports mlflow."""
