"""Chain of Hindsight (Liu et al., arXiv 2302.02676), as SpeechAlign (arXiv 2404.05600, section 3.3) uses it.

Feedback becomes a part of the text: the policy learns to write the chosen tokens after ``"good " + text`` and the
rejected ones after ``"bad " + text``, by likelihood alone, and is asked for good speech from then on. The words are
written with the policy's own characters, so its vocabulary stays as it is. Both sides are sequences of their own
(the paper chains them), since a policy for speech is never shown a bad reading before it speaks.
"""

GOOD = "good "
BAD = "bad "
