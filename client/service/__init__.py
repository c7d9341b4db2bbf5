"""The one narrow interface between the two processes of a center: a local socket."""
