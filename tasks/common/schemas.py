"""Columns of the tables that flow between stages.

``codes`` are the codec's. ``tokens``, ``context``, ``chosen`` and ``rejected`` are ids of the policy's own tokenizer.
"""

from __future__ import annotations

import pyarrow as pa

_CODES = pa.list_(pa.list_(pa.uint16()))  # levels x frames
_TOKENS = pa.list_(pa.int32())

CODES = pa.schema(
    [
        ("id", pa.string()),
        ("speaker", pa.string()),
        ("text", pa.string()),
        ("seen", pa.bool_()),  # whether the speaker occurs in train
        ("seconds", pa.float64()),
        ("codes", _CODES),
        ("voice", pa.list_(pa.float32())),  # what the codec's decoder takes of the whole recording; null: nothing
    ]
)

TEXTS = pa.schema(
    [
        ("id", pa.string()),  # of the text; texts.sample corpus: of the train utterance, so of its golden codes too
        ("text", pa.string()),
        ("speaker", pa.string()),
        ("seen", pa.bool_()),  # whether the speaker occurs in train
        ("prompt_id", pa.string()),  # of the utterance, in the same split of CODES, whose first frames prompt the voice
    ]
)

SAMPLES = pa.schema(
    [
        ("id", pa.string()),  # of the text in TEXTS; of test samples, the utterance
        ("text", pa.string()),
        ("prompt_id", pa.string()),  # of the utterance whose first frames are the voice prompt
        ("draw", pa.int32()),  # which of the samples for this prompt
        ("seed", pa.int64()),
        ("tokens", _TOKENS),  # exactly as sampled, without the stop
        ("logprobs", pa.list_(pa.float32())),  # under the policy at temperature 1, the stop's last
        ("behavior", pa.list_(pa.float32())),  # likewise, under the distribution that was drawn from
        ("finished", pa.bool_()),  # False: cut off at the length limit
        ("stop", pa.int32()),  # the token that ended it; null if it was cut off
        ("stuck", pa.bool_()),  # ends in a loop, or is silent, after all redraws
        ("redrawn", pa.int32()),  # how often it was drawn again because it was stuck
        ("temperature", pa.float64()),
        ("top_k", pa.int32()),
        ("top_p", pa.float64()),
        ("max_frames_per_character", pa.float64()),  # where a sample was cut off
        ("policy", pa.string()),  # digest of the checkpoint that was sampled
    ]
)

JUDGEMENTS = pa.schema(
    [
        ("id", pa.string()),
        ("draw", pa.int32()),
        ("seed", pa.int64()),  # with the id: which sample
        ("hypothesis", pa.string()),
        ("word_errors", pa.int32()),
        ("words", pa.int32()),
        ("similarity", pa.float64()),  # to the voice prompt; 0.0 where there is no sound
        ("judge", pa.string()),  # recognizer with its digest, and measure of voice
    ]
)

PAIRS = pa.schema(
    [
        ("id", pa.string()),
        ("prompt_id", pa.string()),
        ("iteration", pa.string()),  # that made the pair
        ("text", pa.string()),
        ("context", _TOKENS),  # of the policy that was sampled: text and voice prompt in its layout
        ("chosen", _TOKENS),  # codes and, unless it was cut off, the stop
        ("rejected", _TOKENS),
        ("chosen_from", pa.int32()),  # first token that the preference is about; those before are context
        ("rejected_from", pa.int32()),
        ("chosen_logprob", pa.float64()),  # sum over the tokens from there on, under the reference policy
        ("rejected_logprob", pa.float64()),
        ("chosen_finished", pa.bool_()),  # False: cut off, so no stop is scored
        ("rejected_finished", pa.bool_()),
        ("chosen_wer", pa.float64()),
        ("rejected_wer", pa.float64()),
        ("chosen_similarity", pa.float64()),
        ("rejected_similarity", pa.float64()),
        ("reason", pa.string()),  # why the chosen side is preferred
        ("source", pa.string()),  # prefer.source
        ("policy", pa.string()),  # digest of the checkpoint that was sampled
        ("chosen_seed", pa.int64()),  # of the sample; null: golden tokens
        ("rejected_seed", pa.int64()),
        ("chosen_temperature", pa.float64()),  # at which it was sampled; null: golden tokens
        ("rejected_temperature", pa.float64()),
        ("top_k", pa.int32()),  # of the samples
        ("max_frames_per_character", pa.float64()),
        ("reference", pa.string()),  # digest of the checkpoint whose log-probabilities these are
        ("judge", pa.string()),  # recognizer with its digest, and measure of voice; of votes, the raters
    ]
)

UTTERANCES = pa.schema(
    [
        ("id", pa.string()),
        ("system", pa.string()),  # policy; in the ceiling table golden, resynthesised, golden_nar
        ("set", pa.string()),  # recorded: an utterance of the corpus; long: a text without a recording
        ("speaker", pa.string()),
        ("seen", pa.bool_()),
        ("text", pa.string()),
        ("prompt_id", pa.string()),
        ("draw", pa.int32()),  # which of the samples of this text; golden speech has one, 0
        ("seed", pa.int64()),  # of utterance and draw: the same for every policy and decoding
        ("decoding", pa.string()),  # best: chosen on dev; loop: params.yaml's, where it is another; null: golden speech
        ("temperature", pa.float64()),
        ("top_k", pa.int32()),
        ("top_p", pa.float64()),
        ("finished", pa.bool_()),
        ("hypothesis", pa.string()),
        ("word_errors", pa.int32()),
        ("words", pa.int32()),  # asked
        ("deletions", pa.int32()),
        ("insertions", pa.int32()),
        ("spoken_words", pa.int32()),  # of the hypothesis
        ("folded_word_errors", pa.int32()),  # with every number as figures, as published word error rates count
        ("folded_words", pa.int32()),
        ("character_errors", pa.int32()),
        ("characters", pa.int32()),
        ("similarity", pa.float64()),  # to the voice prompt; 0.0 where there is no sound
        ("seconds", pa.float64()),
        ("golden_seconds", pa.float64()),  # null in the long set
        # Judges that took no part in choosing pairs; null where params.yaml names none.
        ("held_out_hypothesis", pa.string()),
        ("held_out_word_errors", pa.int32()),  # of the same words
        ("held_out_similarity", pa.float64()),  # to the voice prompt; 0.0 where there is no sound
        ("f0_spread", pa.float64()),  # semitones from the 10th to the 90th percentile; null: too little is voiced
    ]
)

GAP_POINTS = pa.schema(
    [
        ("id", pa.string()),
        ("system", pa.string()),  # golden or synthetic
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("seconds", pa.float64()),
    ]
)
