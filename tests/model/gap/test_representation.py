import numpy as np
import pytest
import torch

from model.gap.projection import tsne
from model.gap.representation import Basis, pooled
from model.nar import Nar, NarConfig

CODES, LEVELS = 16, 3


@pytest.fixture(scope="module")
def nar():
    torch.manual_seed(0)
    return Nar(NarConfig(n_codebooks=LEVELS, codebook_size=CODES, layers=2, width=16, heads=2)).eval()


def utterances(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    level1 = [torch.randint(CODES, (n,), generator=generator) for n in lengths]
    prompts = [torch.randint(CODES, (LEVELS, 6), generator=generator) for _ in lengths]
    return level1, prompts


def test_an_utterances_vector_is_its_own_whatever_shares_the_batch(nar):
    level1, prompts = utterances([5, 30, 11, 18])
    together, alone = pooled(nar, level1, prompts), pooled(nar, level1, prompts, batch_size=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_states_are_what_the_head_of_level_two_reads(nar):
    [level1], [prompt] = utterances([9])
    codes, lengths, voice = level1[None, None], torch.tensor([9]), (prompt[None], torch.tensor([6]))
    with torch.inference_mode():
        hidden = nar.states(codes, lengths, nar.encode_prompt(*voice), 1)
        logits = nar(codes, lengths, *voice, 1)
        assert torch.equal(nar.heads[0](hidden), logits)
    np.testing.assert_allclose(pooled(nar, [level1], [prompt])[0], hidden[0].mean(0).numpy(), atol=1e-5)


def test_tokens_and_voice_both_matter(nar):
    level1, prompts = utterances([9, 9])
    base = pooled(nar, level1[:1], prompts[:1])
    assert not np.allclose(base, pooled(nar, level1[1:], prompts[:1]))
    assert not np.allclose(base, pooled(nar, level1[:1], prompts[1:]))


def test_an_utterance_without_tokens_is_an_error(nar):
    level1, prompts = utterances([3, 0])
    with pytest.raises(ValueError, match=r"1 utterances have no level-1 tokens.*number 1"):
        pooled(nar, level1, prompts)


def test_coordinates_are_shares_of_the_references_variance():
    reference = np.random.default_rng(0).normal(size=(200, 5)) * [30, 20, 10, 5, 1] + 7
    places = Basis.fit(reference, 5).project(reference)
    assert places.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-9)
    assert places.var(axis=0).sum() == pytest.approx(1)
    assert (np.diff(places.var(axis=0)) < 0).all()
    assert Basis.fit(reference, 2).project(reference).var(axis=0).sum() == pytest.approx(1300 / 1426, abs=0.03)


def test_too_few_reference_utterances_say_what_to_do():
    with pytest.raises(ValueError, match=r"5 reference utterances.*cannot span 5.*lower gap\.dimensions"):
        Basis.fit(np.random.default_rng(0).normal(size=(5, 8)), 5)


def test_the_projection_is_deterministic_and_keeps_clusters_apart():
    rng = np.random.default_rng(0)
    vectors = np.vstack([rng.normal(size=(40, 6)), rng.normal(size=(40, 6)) + 20])
    places = tsne(vectors, 0)
    assert np.array_equal(places, tsne(vectors, 0))
    one, two = places[:40], places[40:]
    assert np.linalg.norm(one.mean(0) - two.mean(0)) > one.std() + two.std()


def test_three_points_are_too_few_to_project():
    with pytest.raises(ValueError, match="too few to project"):
        tsne(np.eye(3), 0)
