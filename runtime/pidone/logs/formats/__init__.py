"""What records look like: each format in one place, for lines of apps and our own events."""
