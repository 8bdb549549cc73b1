"""What the record shops of all frameworks share: Chinook's tables, what is read, who is asking."""
