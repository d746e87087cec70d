"""From a run's samples to its summary, validity included."""
