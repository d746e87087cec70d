"""What the page of a run's failures is made of."""
