"""Sources of preference pairs: one module per source."""
