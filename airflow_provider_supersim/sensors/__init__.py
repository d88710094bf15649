"""Sensors that wait for IP Commands."""
