"""Files that are whole, sealed or locked."""
