"""The plain twin scores each side in a sequence of its own."""

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from model.fast.shared_context import collate_pairs, pair_logprobs, scored_tokens
from model.objectives.logprobs import IGNORE, collate, next_token_logits, sequence_logprobs
from model.pairs.sequences import sequences_of
from tests.tasks.align.pairs import OWN, small_ar, some_pairs


@pytest.fixture
def ar():
    return small_ar()


@pytest.fixture
def pairs(ar):
    """Pairs of all lengths; one is about segments, of another start on each side."""
    pairs = some_pairs(ar, n=6)
    longest = max(pairs, key=lambda p: min(len(p["chosen"]), len(p["rejected"])))
    longest |= {"chosen_from": 1, "rejected_from": 2}
    return pairs


def plain(model, pairs):
    tokens, labels = collate(*sequences_of(pairs))
    return sequence_logprobs(next_token_logits(model, tokens), labels).chunk(2), (labels != IGNORE).sum(dim=1).chunk(2)


def test_both_sides_get_what_they_get_on_their_own(ar, pairs):
    expected, counts = plain(ar, pairs)
    shared = collate_pairs(pairs)
    for found, wanted in zip(pair_logprobs(ar, **shared), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-6)
    assert [c.tolist() for c in scored_tokens(ar, shared["labels"], shared["side"])] == [c.tolist() for c in counts]


def test_gradients_are_those_of_the_plain_twin(ar, pairs):
    def gradients(scored):
        chosen, rejected = scored
        ar.zero_grad()
        torch.nn.functional.softplus(rejected - chosen).sum().backward()
        return [p.grad.clone() for p in ar.parameters()]

    wanted = gradients(plain(ar, pairs)[0])
    for found, expected in zip(gradients(pair_logprobs(ar, **collate_pairs(pairs))), wanted, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_rejected_side_sees_nothing_of_the_chosen_one(ar, pairs):
    [pair] = pairs[:1]
    other = {**pair, "chosen": [code ^ 1 for code in pair["chosen"]]}
    found = [pair_logprobs(ar, **collate_pairs([p])) for p in (pair, other)]
    assert torch.equal(found[0][1], found[1][1]) and not torch.equal(found[0][0], found[1][0])


def test_a_row_may_be_longer_than_the_policys_positions(ar, pairs):
    room = ar.config.max_position_embeddings
    long = {
        **pairs[0],
        "chosen": [3] * (room - 12),
        "rejected": [4] * (room - 12),
        "chosen_from": 0,
        "rejected_from": 0,
    }
    shared = collate_pairs([long])
    assert shared["tokens"].shape[1] > room > shared["positions"].max()
    for found, wanted in zip(pair_logprobs(ar, **shared), plain(ar, [long])[0], strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_grouped_queries_and_every_kind_of_attention(pairs, attention):
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=OWN.size, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    for found, wanted in zip(pair_logprobs(model, **collate_pairs(pairs)), plain(model, pairs)[0], strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-6)
