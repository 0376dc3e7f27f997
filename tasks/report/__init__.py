"""The report page: reading what the stages wrote, the numbers in words, charts, sounds, and the HTML around them."""
