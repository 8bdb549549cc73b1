"""Advice on indexes, made and measured."""
