"""How training crops are varied: parameters drawn on the host, applied with torch on the device of the batch."""
