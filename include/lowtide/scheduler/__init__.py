"""What the grid does, and when to run: signal, fallback, decision. Knows nothing of Airflow."""
