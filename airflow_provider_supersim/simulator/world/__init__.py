"""Fleets, SIMs and commands, and what becomes of a command as time passes. No HTTP, no sockets."""
