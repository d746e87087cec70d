"""``python -m loadtests bench``, and the experiment that the other commands build on: arms, blocks, processes."""
