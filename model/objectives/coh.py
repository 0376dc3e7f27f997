"""Chain of Hindsight (Liu et al., arXiv 2302.02676), as SpeechAlign (arXiv 2404.05600, section 3.3) uses it.

Feedback becomes a part of the text. The policy learns the chosen tokens after ``GOOD + text`` and the rejected ones
after ``BAD + text``, by likelihood alone; from then on every text gets ``GOOD``. The paper chains both sides. Here each
side is a sequence of its own, since a policy for speech never gets a bad rendering as context.

The verdicts are made of characters that the vocabulary has already, and not of letters. With the words "good" and "bad"
the policy synthesized the verdict too ("four one three" when given "one three").
"""

GOOD = "' "
BAD = "'' "
