"""Lowtide: the carbon layer of Apache Airflow."""
