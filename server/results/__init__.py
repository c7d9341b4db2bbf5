"""What a run leaves for machines and people."""
