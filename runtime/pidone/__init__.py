"""A container-native runtime entrypoint. Each folder answers one question; see docs/architecture.md."""

__version__ = "0.1.0"
