"""One YAML file -> one validated, typed configuration; the schema of the DAG's Params comes from it."""
