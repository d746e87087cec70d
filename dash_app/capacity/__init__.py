"""What the page of a capacity search is made of."""
