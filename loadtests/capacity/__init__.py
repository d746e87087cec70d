"""``python -m loadtests capacity``: the most users within an SLO, searched under load."""
