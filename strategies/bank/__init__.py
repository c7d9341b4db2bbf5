"""The adapter bank: versions of every adapter, in peft's format."""
