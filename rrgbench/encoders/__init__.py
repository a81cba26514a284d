"""Encoders that need only the core's dependencies."""
