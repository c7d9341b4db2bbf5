"""The proxy before the SuperLink: an nginx configuration and what fills it in."""
