"""``python -m loadtests ablate``: each policy switched off in turn."""
