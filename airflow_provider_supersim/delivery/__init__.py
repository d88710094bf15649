"""Getting commands to devices. Knows the API, not Airflow."""
