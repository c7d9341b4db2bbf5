"""What keeps a federation from forgetting: anchors, merging, the no-harm gate, the router."""
