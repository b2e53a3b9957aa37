"""How a process says, or shows, that it works."""
