"""What a version of the bank is, from facts: as JSON and as a page, with what nobody has said left open."""
