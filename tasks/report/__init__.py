"""The report page: outputs of the stages as numbers, words, charts and sounds, and the HTML around them."""
