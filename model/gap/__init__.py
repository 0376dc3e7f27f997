"""The gap between golden and synthetic level-1 tokens: as the NAR sees them, measured, and beside pure chance."""
