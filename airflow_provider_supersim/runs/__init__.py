"""Airflow's side of a running task. Imported when a task runs; only the links are read when a DAG file is parsed."""
