"""Tailgate's users under Locust's own UI, ``--headless``, ``--processes``, master and workers."""
