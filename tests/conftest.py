"""Plugins of the suite: fixtures that several test files share, and how hypothesis runs."""

from hypothesis import settings

pytest_plugins = ["tests.dash_browser"]

# No example fails for being slow: the machines are shared, and speed is measured elsewhere.
settings.register_profile("tailgate", deadline=None)
settings.load_profile("tailgate")
