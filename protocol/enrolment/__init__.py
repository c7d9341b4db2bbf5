"""The two files that a coordinator and a hospital exchange by hand."""
