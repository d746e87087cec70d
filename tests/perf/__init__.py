"""What the server costs, as ratios against other servers measured in the same minutes: ``python -m tests.perf``."""
