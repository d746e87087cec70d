"""Following what happens now: from the files of running runs, and a server's metrics, to the browsers that watch."""
