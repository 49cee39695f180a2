"""A page and an HTTP API on one resident model: `copo serve`."""
