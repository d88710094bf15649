"""Airflow's hook for the Super SIM API, and its connection."""
