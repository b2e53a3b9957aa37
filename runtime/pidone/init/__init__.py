"""What is PID 1's duty? Reaping, signals, subreaper, fork/exec, exit codes."""
