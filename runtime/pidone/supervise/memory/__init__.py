"""What an instance may use, and what follows when it uses more."""
