"""What measures: CodeCarbon behind one adapter, its null and replay twins, and a run's share of a machine."""
