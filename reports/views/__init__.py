"""Runs as people read them: on the terminal and as one HTML file."""
