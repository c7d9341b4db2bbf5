"""A center's machine: the `concilium-center` command and its programs."""
