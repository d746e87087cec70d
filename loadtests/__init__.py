"""Locust scenarios, the recorder and the bench runner. Imports ``reports`` to write, never ``server``."""
