"""Report text: sections, and reports made elsewhere."""
