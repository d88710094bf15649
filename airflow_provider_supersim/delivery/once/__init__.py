"""Send each command once: the ledger, the dispatcher, and the look-up of unknown outcomes."""
