"""Datasets that need only the core's dependencies."""
