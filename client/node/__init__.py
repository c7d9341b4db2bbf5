"""What has the network and no data: the SuperNode, the guarded ClientApp, the node's key."""
