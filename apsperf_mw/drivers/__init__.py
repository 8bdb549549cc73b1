"""Stores behind one contract, and the registry that names them."""
