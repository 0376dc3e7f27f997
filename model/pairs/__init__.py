"""Where preference pairs come from: one module a source."""
