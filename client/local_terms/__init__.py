"""What a center adds to its objective: one term a file, one table that names them."""
