"""What a command computes, as digests of the modules that it imports."""
