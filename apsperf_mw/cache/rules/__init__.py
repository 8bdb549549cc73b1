"""What may be stored, for how long, and what may be done with it then (RFC 9111). Pure."""
