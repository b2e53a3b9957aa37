"""What is done every night."""

print("cleaned up")
