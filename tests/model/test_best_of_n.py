"""Best-of-N: the sample that is kept, and the chain that uses it."""

import numpy as np
import pytest
import torch

from model import policy, reward
from model.best_of_n import best, draws_of, reporting_utterances
from model.layouts.own import EOS
from model.reward import RewardError, RewardModel
from model.sampling import Decoding, Request, Sampled, sample
from model.voice import Voice
from tests.model.test_voice import folder  # noqa: F401  the fixture: an AR, a NAR and a codec
from tests.sequences import voice_of

DECODING = Decoding(max_frames_per_character=3.0)
TEXTS = ["one two", "three", "four five", "six"]


@pytest.fixture
def voice(folder):  # noqa: F811
    """A policy of four draws whose end mark is likely enough that some samples end and some are cut off."""
    plain = Voice.load(folder / "ar", folder / "nar", str(folder / "codec"), prompt_frames=5)
    torch.manual_seed(1)
    model = RewardModel.from_policy(plain.policy.model).eval()
    torch.nn.init.normal_(model.head.weight)
    with torch.no_grad():
        plain.policy.model.lm_head.weight[EOS] += 0.3
    plain.policy.model.config.best_of_n = 4
    policy.save(plain.policy, folder / "best")
    reward.save(model, folder / "best" / "reward")
    return Voice.load(folder / "best", folder / "nar", str(folder / "codec"), prompt_frames=5)


def prompts(n):
    return [voice_of(range(5), range(5, 10))] * n


def sampled(n_frames, finished):
    logprobs = np.zeros(n_frames + finished, np.float32)
    return Sampled(np.zeros(n_frames, np.int32), logprobs, logprobs, finished, EOS if finished else None)


@pytest.mark.parametrize(
    ("draws", "rewards", "kept"),
    [
        ([(3, True), (3, True), (3, True)], [0.1, 0.9, 0.5], 1),
        ([(3, True), (3, False), (3, True)], [0.1, 0.9, 0.5], 2),  # cut off
        ([(3, True), (0, True)], [-5.0, 0.9], 0),  # without frames
        ([(3, False), (3, False)], [0.1, 0.9], 1),  # none ended: the best of all
    ],
)
def test_the_highest_reward_among_finished_samples_with_frames_is_kept(draws, rewards, kept):
    assert best([sampled(*d) for d in draws], torch.tensor(rewards)) == kept


def test_the_first_draw_is_the_requests_own_and_the_others_follow_from_its_seed():
    draws = draws_of(Request((1, 2), 9, 5), 4)
    assert draws[0].seed == 5
    assert len({d.seed for d in draws}) == 4
    assert draws == draws_of(Request((1, 2), 9, 5), 4)
    assert not {d.seed for d in draws} & {d.seed for d in draws_of(Request((1, 2), 9, 6), 4)}


def test_an_utterance_is_done_when_all_its_draws_are():
    done = []
    count = reporting_utterances(4, done.append)
    for n in (3, 1, 6, 2):
        count(n)
    assert done == [0, 1, 1, 1] and reporting_utterances(4, None) is None


def test_it_renders_the_draw_with_the_highest_reward(voice):
    spoken = voice.synthesize(TEXTS, prompts(4), [1, 2, 3, 4], DECODING)
    for text, seed, utterance in zip(TEXTS, [1, 2, 3, 4], spoken, strict=True):
        draws = draws_of(voice.policy.request(text, prompts(1)[0], decoding=DECODING, seed=seed), 4)
        drawn = sample(voice.policy.model, draws, DECODING, voice.policy.layout.drawable)
        sequences = [(d.context, s.target) for d, s in zip(draws, drawn, strict=True)]
        rewards = reward.score(voice.reward, sequences, [text] * 4).tolist()
        usable = [i for i in range(4) if drawn[i].finished] or list(range(4))
        expected = max(usable, key=lambda i: rewards[i])
        assert np.array_equal(utterance.sampled.tokens, drawn[expected].tokens)
        assert utterance.sampled.finished == drawn[expected].finished


def test_it_is_deterministic_and_does_not_depend_on_neighbours(voice):
    done = []
    together = voice.synthesize(TEXTS, prompts(4), [1, 2, 3, 4], DECODING, on_done=done.append)
    again = voice.synthesize(TEXTS[::-1], prompts(4), [4, 3, 2, 1], DECODING, batch_size=3)[::-1]
    for a, b in zip(together, again, strict=True):
        assert np.array_equal(a.sampled.tokens, b.sampled.tokens)
    assert sum(done) == len(TEXTS)


def test_a_reward_that_is_not_finite_stops_the_speech_with_its_text(voice):
    torch.nn.init.constant_(voice.reward.head.weight, float("inf"))
    with pytest.raises(RewardError, match="three"):
        voice.synthesize(["three"], prompts(1), [1], DECODING)


def test_a_number_of_samples_without_a_reward_model_is_refused_and_the_reverse(voice, folder):  # noqa: F811
    chooser = policy.load(folder / "best")
    policy.save(chooser, folder / "alone")
    with pytest.raises(ValueError, match=r"best_of_n is 4 in config\.json, and no reward model"):
        Voice.load(folder / "alone", folder / "nar", str(folder / "codec"))
    policy.forget_best_of_n(chooser.model)
    policy.save(chooser, folder / "forgotten")
    assert Voice.load(folder / "forgotten", folder / "nar", str(folder / "codec")).reward is None
    reward.save(voice.reward, folder / "forgotten" / "reward")
    with pytest.raises(ValueError, match=r"best_of_n is 1 in config\.json, and a reward model"):
        Voice.load(folder / "forgotten", folder / "nar", str(folder / "codec"))
