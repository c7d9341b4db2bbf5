"""The mathematics of the models: tensors in, tensors out."""
