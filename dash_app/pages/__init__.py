"""The pages, one a file: each has its layout and its callbacks."""
