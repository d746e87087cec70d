"""One run against another: verdicts from intervals, and what a policy earns."""
