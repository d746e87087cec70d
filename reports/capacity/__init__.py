"""From levels of load to the most users within an SLO, and sizes for many more."""
