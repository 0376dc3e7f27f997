"""Chain of Hindsight (Liu et al., arXiv 2302.02676), as SpeechAlign (arXiv 2404.05600, section 3.3) uses it.

Feedback becomes a part of the text: the policy learns to write the chosen tokens after ``GOOD + text`` and the rejected
ones after ``BAD + text``, by likelihood alone, and is asked for good speech from then on. Both sides are sequences of
their own (the paper chains them), since a policy for speech is never shown a bad reading before it speaks.

The verdicts are marks of the policy's own characters, so its vocabulary stays as it is, and no letters: the words
"good" and "bad", which a policy for speech has learnt to read aloud, it read aloud ("four one three" for "one three").
"""

GOOD = "' "
BAD = "'' "
