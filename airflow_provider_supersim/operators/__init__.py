"""Operators that send IP Commands."""
