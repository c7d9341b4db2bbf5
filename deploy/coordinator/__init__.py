"""The coordinator's machine: the `concilium` command and its programs."""
