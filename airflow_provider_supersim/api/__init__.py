"""The Super SIM REST API, whoever the vendor. Knows nothing of Airflow."""
