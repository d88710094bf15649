"""Measurements, beside peers in the same run. Not collected by pytest: ``make bench`` runs them."""
