"""What shall run? Files become one frozen Ecosystem of AppSpecs."""
