"""Words between codes while sampling: every sample that the states allow is one that the layout reads and writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from model.drawing import Decoding
from model.errors import InputError
from model.layouts.layout import Layout
from model.layouts.sampled import check_codes_alone, salvaged
from model.layouts.speech import Speech
from model.sampling import Request, sample
from tests.model.layouts.families import discourage_text, make_tokenizer, small_layout


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = make_tokenizer("outetts", tmp_path_factory.mktemp("outetts"), 8, compact=True)
    made = Layout.load(small_layout("outetts", folder / "l.yaml", 8), folder)
    check_codes_alone(made)
    return made


def walk(layout: Layout, rng: np.random.Generator, most: int = 400) -> list[int]:
    """Return a walk through the states that draws a way on, then a token of it: letters where words are."""
    states, at, tokens = layout.drawable.states, 0, []
    while not (states[at].stop and (rng.random() < 0.2 or len(tokens) > most)):
        ways, after = states[at].then[rng.integers(len(states[at].then))]
        letters = [
            i for i in ways.tolist() if layout.tokenizer.name(i).isalpha() and layout.tokenizer.name(i).isascii()
        ]
        tokens.append(int(rng.choice(letters or ways)))
        at = after
    return tokens


def test_what_the_states_allow_is_read_and_written_back_exactly(layout: Layout) -> None:
    rng, words = np.random.default_rng(0), set()
    for _ in range(40):
        target = [*walk(layout, rng), layout.stops[rng.integers(len(layout.stops))]]
        read = layout.read(target)
        assert read.finished and len(read.speech.features) == 3
        assert [*layout.target(read.speech)[:-1], target[-1]] == target
        words.add(len(read.speech.words))
        codes = salvaged(layout, target[:-1])
        np.testing.assert_array_equal(codes.levels[0], np.concatenate([word.levels[0] for word in read.speech.words]))
    assert 1 in words and len(words) > 3


def test_a_policy_draws_words_in_their_order_and_codes_are_found_in_what_was_cut_off(layout: Layout) -> None:
    requests = [Request((1, 2), 300 if seed % 2 else 40, seed) for seed in range(16)]
    sampled = sample(plain(layout), requests, Decoding(), layout.drawable)
    assert {s.finished for s in sampled} == {True, False}
    for s in sampled:
        assert s.tokens[0] == layout.tokenizer.find("<|global_features_start|>")
        if s.finished:
            assert layout.read(s.target).finished
        assert len({len(level) for level in salvaged(layout, s.tokens).levels}) == 1
    assert sum(len(salvaged(layout, s.tokens).levels[0]) for s in sampled) > 50


def plain(layout: Layout) -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**shape, vocab_size=layout.tokenizer.size, max_position_embeddings=2048))
    discourage_text(model, layout.tokenizer)
    return model.eval()


def test_a_recording_whose_words_are_not_aligned_is_refused(layout: Layout) -> None:
    with pytest.raises(InputError, match="needs an alignment of its words"):
        layout.target(Speech.of([1, 2], [3, 4]), prompted=True)


def test_the_limit_of_a_text_has_room_for_its_words(layout: Layout, tmp_path: Path) -> None:
    one, two = layout.most_tokens("one", 10), layout.most_tokens("one two", 10)
    assert 20 < one < two
    folder = make_tokenizer("orpheus", tmp_path / "orpheus", 16, compact=True)
    assert Layout.load(small_layout("orpheus", tmp_path / "l.yaml", 16), folder).most_tokens("one two", 10) == 70
