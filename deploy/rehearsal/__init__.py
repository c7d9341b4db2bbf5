"""A federation rehearsed on one machine: hosts in network namespaces, cables to cut, a sink that hears who calls."""
