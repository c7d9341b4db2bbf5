"""A center's part in sums that show no single center's tensors; on the side with the data, without a network."""
