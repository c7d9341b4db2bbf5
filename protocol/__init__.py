"""What coordinator and center say to each other, and nothing else."""
