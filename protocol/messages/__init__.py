"""Instruction, reply and payload, and what they are made of."""
