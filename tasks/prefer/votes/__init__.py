"""Human votes: the listening test to give raters, and the sheets that come back (docs/votes.md)."""
