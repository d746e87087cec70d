"""Gemini behind one protocol: the mock and the live clients, and a mock Gemini server for real SDKs to talk to."""
