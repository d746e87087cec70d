"""A run against what was asked of it: SLO, baseline, gate, and the gate's reports."""
