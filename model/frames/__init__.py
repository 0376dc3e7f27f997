"""Frame-parallel policies: models that write a whole frame of codes, one per book, at each position.

In token ids a frame is one id per book, so that samples, pairs and layouts are what they are for a causal language
model. :mod:`model.frames.adapter` says what the loop needs of such a model.
"""
