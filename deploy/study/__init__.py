"""A study before its first round: initial state, backbone, directory."""
