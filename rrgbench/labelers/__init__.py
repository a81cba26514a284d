"""Labelers of report text."""
