"""Log files: what apps write to them, how they are rotated and packed, and that they are opened safely."""
