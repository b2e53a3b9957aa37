"""The process that keeps everything up: its loop, its signals, what it reads, whom it tells."""
