"""What was emitted: an energy meter, the ledger, and energy x intensity over time. CodeCarbon is imported on first use."""
