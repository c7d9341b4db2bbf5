"""The audit log held against what lies on the disk, and its heads signed by the authority."""
