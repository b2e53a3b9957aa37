"""A chat and analytics service: the system that pidone's documentation and its Docker stack run."""
