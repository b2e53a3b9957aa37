"""What is written: other files, what runs now, tables for people, the reference page, the schema."""
