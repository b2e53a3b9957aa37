"""Where do lines go? Pipes become records on stdout."""
