"""What the table of runs is made of."""
