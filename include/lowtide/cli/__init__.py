"""The command line: plan, train, compare, report and backtest without Airflow."""
