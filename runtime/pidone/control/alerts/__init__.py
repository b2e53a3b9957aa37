"""Somebody is told of what went wrong."""
