"""The reference server: a validated, decorated, concurrent Gemini pipeline behind HTTP. Imports no other room."""
