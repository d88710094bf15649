"""The Super SIM REST API of both vendors over httpx. Knows nothing of Airflow."""
