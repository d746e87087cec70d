"""What a run's tokens cost, and what its cache saved."""
