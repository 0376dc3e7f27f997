"""The gap between golden and synthetic level-1 tokens in the NAR's representation, and its noise floor."""
