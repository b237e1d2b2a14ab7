"""A local Airflow on embedded defaults, and the demo of ``make run``.

Nothing here imports Airflow: its command line is started as processes, and its REST API is called.
"""
