"""Commands that run at points in the life of an app or of the whole."""
