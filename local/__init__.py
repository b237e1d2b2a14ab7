"""A local Airflow on embedded defaults, and the demo of ``make run``. Nothing here imports Airflow or Lowtide."""
