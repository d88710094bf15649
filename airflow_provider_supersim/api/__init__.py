"""The Super SIM REST API of every vendor. Knows nothing of Airflow."""
