"""What people write workflows with. `automation.workflows.core` re-exports the names."""
