"""Trying an ecosystem: a runtime of our own, what is done to it, and what came of it (`smoke`, `prove`)."""
