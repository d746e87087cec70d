"""What the page of two runs is made of."""
