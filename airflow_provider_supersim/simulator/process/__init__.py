"""The simulator's process: its command line, its server, and the handle that starts it for tests."""
