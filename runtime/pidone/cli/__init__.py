"""What does one type? One small module per command family; thin, with lazy imports."""
