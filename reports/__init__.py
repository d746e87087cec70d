"""The run on disk: schema, write, read, summarise, compare, export. Imports no other room."""
