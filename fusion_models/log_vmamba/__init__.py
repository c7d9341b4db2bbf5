"""LoG-VMamba: local and global tokens around one scan, in a 2D and a 3D host."""
