"""What centers, adapters and arms may be called: each name is a folder on somebody's disk."""

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
