"""The hospital's PACS: the one room of a center that has both its data and a network, and no trainer."""
