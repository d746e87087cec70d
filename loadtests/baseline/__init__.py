"""``python -m loadtests baseline``: a server against a handler that does nothing."""
