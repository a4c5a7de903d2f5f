"""A storage in memory with real transactions: for scripts, for tests, and as the model of what a storage must do."""
