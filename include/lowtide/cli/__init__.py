"""The command line: the four rooms composed for people without Airflow, and for a look before adopting it."""
