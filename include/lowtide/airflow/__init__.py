"""Thin adapters between Airflow and the core in ``include``; no logic of their own."""
