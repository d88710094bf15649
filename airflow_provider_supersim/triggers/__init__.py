"""Triggers that wait for IP Commands without a worker slot."""
