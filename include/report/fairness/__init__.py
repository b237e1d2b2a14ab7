"""What two runs should have in common, and what each difference bars."""
