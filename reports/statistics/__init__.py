"""Pure functions over numbers: percentiles, intervals, warm-up, fits. Nothing here knows of runs."""
