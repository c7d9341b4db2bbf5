"""A plain convolutional network, the referee of every family: a U-Net with a residual encoder, and its PET pathway."""
