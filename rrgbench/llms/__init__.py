"""What writes a report without a model."""
