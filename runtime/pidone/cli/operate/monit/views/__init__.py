"""What there is to see: pure functions from a state, and the lines of log, to lines of the screen."""
