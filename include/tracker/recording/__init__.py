"""From a meter's readings to the ledger's rows while a run goes on."""
