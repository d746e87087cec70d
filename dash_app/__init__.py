"""The Dash app over live and saved runs. Imports ``reports``, never ``loadtests`` or ``server``."""
