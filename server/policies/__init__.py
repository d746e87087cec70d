"""Production policies, one decorator a file, each usable alone; none knows of HTTP or Gemini."""
