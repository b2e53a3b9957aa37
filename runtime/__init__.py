"""A container-native runtime entrypoint. Each folder answers one question; see docs/architecture.md."""
