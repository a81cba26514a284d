"""Which errors can a metric see? Seeded edits of reports, what they do to scores, and the error-checking benchmark."""
