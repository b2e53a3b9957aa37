"""Commands that get an ecosystem ready: check, convert, init, schema, smoke."""
