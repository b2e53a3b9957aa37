"""One instance: its table of states and events, and what it reports."""
