"""Commands that talk to a running pidone; each module is a family of them, imported for those only."""
