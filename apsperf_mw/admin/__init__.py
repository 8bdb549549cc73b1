"""The admin endpoint: purges and questions over HTTP, for whoever has the token."""
