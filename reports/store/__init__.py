"""The runs on disk: written, listed, opened, read block by block."""
