"""Dia as a policy: its tokenizer, scores against its own class and loss, draws that follow what is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DiaForConditionalGeneration, DiaTokenizer

from model import lora, policy
from model.divergence import change, code_logprobs
from model.errors import CheckpointError, InputError
from model.fast.shared_context import collate_pairs, pair_logprobs
from model.frames.adapter import adapter_of
from model.layouts.likelihood import TokenSequence, likelihood
from model.layouts.speech import Speech, VoicePrompt
from model.objectives.logprobs import IGNORE, collate, decided, label_logprobs
from model.policy import Policy
from model.sampling import Decoding, sample
from tests.model.frames import tiny_dia
from tests.model.frames.tiny_dia import BOOKS, DELAYS, SIZE

EOS, PAD, BOS = SIZE, SIZE + 1, SIZE + 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_dia.save(tiny_dia.dia(), tmp_path_factory.mktemp("dia"))


@pytest.fixture(scope="module")
def loaded(folder) -> Policy:
    return policy.load(folder)


def speech(frames: int, seed: int) -> Speech:
    return Speech.of(*np.random.default_rng(seed).integers(0, SIZE, (BOOKS, frames)))


def sequences(loaded: Policy) -> tuple[list[list[int]], list[list[int]]]:
    layout, voice = loaded.layout, VoicePrompt("", "as before", speech(6, 9))
    contexts = [layout.context("Hello.", voice), layout.context("Oh"), layout.context("A longer text", voice)]
    return contexts, [layout.target(speech(5, 1)), layout.target(speech(9, 2), False), layout.target(speech(1, 3))]


@pytest.mark.parametrize("text", ["Hello there.", "[S1] café, naïve? [S2] 東京 (laughs)", " two  spaces\n"])
def test_ids_of_text_are_those_of_the_familys_tokenizer(loaded, text):
    ids = loaded.layout.tokenizer.encode(text)
    assert ids == DiaTokenizer()(text).input_ids
    assert loaded.layout.tokenizer.decode(ids) == text.replace("[S1]", "\x01").replace("[S2]", "\x02")


def own_labels(target: Speech, prompt: int = 0) -> torch.Tensor:
    """The class's labels ``(1, steps, books)`` of prompt and target frames, with the end mark of book 0 only."""
    frames = np.stack(target.levels, axis=1)
    steps = np.full((len(frames) + 1 + max(DELAYS), BOOKS), -100)
    for book, late in enumerate(DELAYS):
        steps[late + prompt : late + len(frames), book] = frames[prompt:, book]
    steps[len(frames), 0] = EOS
    return torch.from_numpy(steps)[None]


def own_steps(target: Speech) -> torch.Tensor:
    """The class's inputs ``(1, steps, books)``: a start, then delayed codes, each book with its end mark."""
    frames = np.stack(target.levels, axis=1)
    steps = np.full((len(frames) + 1 + max(DELAYS), BOOKS), PAD)
    for book, late in enumerate(DELAYS):
        steps[:late, book] = BOS
        steps[late : late + len(frames), book], steps[late + len(frames), book] = frames[:, book], EOS
    return torch.from_numpy(np.concatenate([np.full((1, BOOKS), BOS), steps[:-1]]))[None]


@pytest.mark.parametrize("prompt", [0, 4])
def test_log_probabilities_are_those_of_the_class(loaded, prompt):
    whole = speech(11, 1)
    voice = VoicePrompt("", "as before", Speech.of(*(level[:prompt] for level in whole.levels)))
    target = loaded.layout.target(Speech.of(*(level[prompt:] for level in whole.levels)))
    context = loaded.layout.context("Hello.", voice if prompt else VoicePrompt())
    tokens, labels = collate([context], [target])
    found = label_logprobs(loaded.model, tokens, labels)
    text = torch.tensor([DiaTokenizer()("[S1] as before Hello." if prompt else "[S1] Hello.").input_ids])
    own = loaded.model(input_ids=text, decoder_input_ids=own_steps(whole)).logits.log_softmax(-1)
    wanted = own_labels(whole, prompt)[0].T  # (books, steps), as the class has them
    scored = own.gather(2, wanted.clamp(min=0)[..., None])[..., 0][wanted >= 0]
    assert torch.equal(decided(loaded.model, labels), labels != IGNORE)
    torch.testing.assert_close(found.sum(), scored.sum(), atol=1e-4, rtol=1e-5)
    assert int((found != 0).sum()) == len(scored) == len(target)
    at_stop = found[labels != IGNORE][-1]
    torch.testing.assert_close(at_stop, own[0, 11, EOS], atol=1e-4, rtol=1e-5)
    first = found[labels != IGNORE][:BOOKS]  # of the first frame: each book at its delay
    for book, late in enumerate(DELAYS):
        torch.testing.assert_close(first[book], own[book, prompt + late, whole.levels[book][prompt]], atol=1e-4, rtol=0)


def test_rows_of_a_batch_and_both_sides_of_a_pair_score_as_alone(loaded):
    contexts, targets = sequences(loaded)
    tokens, labels = collate(contexts, targets)
    found = label_logprobs(loaded.model, tokens, labels)
    alone = [label_logprobs(loaded.model, *collate([c], [t])).sum() for c, t in zip(contexts, targets, strict=True)]
    torch.testing.assert_close(found.sum(dim=1), torch.stack(alone), atol=1e-4, rtol=1e-5)
    others = targets[1:] + targets[:1]
    pairs = [
        {
            "context": c,
            "chosen": t,
            "rejected": o,
            "chosen_from": BOOKS if len(t) > 2 * BOOKS else 0,
            "rejected_from": 0,
        }
        for c, t, o in zip(contexts, targets, others, strict=True)
    ]
    chosen, rejected = pair_logprobs(loaded.model, **collate_pairs(pairs))
    for row, pair in enumerate(pairs):
        for side, sums in (("chosen", chosen), ("rejected", rejected)):
            given = [*pair["context"], *pair[side][: pair[f"{side}_from"]]]
            [own] = label_logprobs(loaded.model, *collate([given], [pair[side][pair[f"{side}_from"] :]])).sum(dim=1)
            torch.testing.assert_close(sums[row], own, atol=1e-4, rtol=1e-5)
    (chosen - rejected).sum().backward()
    grads = [loaded.model.get_encoder().layers[0].mlp.gate_up_proj.weight.grad, loaded.model.logits_dense.weight.grad]
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
    loaded.model.zero_grad()


def test_a_likelihood_counts_every_code_and_the_stop(loaded):
    contexts, targets = sequences(loaded)
    found = likelihood(loaded.model, [TokenSequence(c, t) for c, t in zip(contexts, targets, strict=True)])
    tokens, labels = collate(contexts, targets)
    sums = label_logprobs(loaded.model, tokens, labels).sum(dim=1)
    assert found.lengths.tolist() == [len(target) for target in targets]
    np.testing.assert_allclose(found.totals, sums.detach(), atol=1e-4)


def run(loaded: Policy, texts: list[str], decoding: Decoding, seeds=None, **given):
    voice = VoicePrompt("", "as before", speech(6, 9))
    requests = [
        loaded.request(text, voice if i % 2 else VoicePrompt(), decoding=decoding, seed=seed)
        for i, (text, seed) in enumerate(zip(texts, seeds or range(len(texts)), strict=True))
    ]
    return requests, sample(loaded.model, requests, decoding, loaded.layout.drawable, **given)


TEXTS = ["Hello.", "A longer text", "Oh", "Two words", "Once again, with more", "So"]
SHORT = Decoding(max_frames_per_character=3.0)


def test_samples_have_the_log_probabilities_of_a_teacher_forced_pass(loaded):
    requests, found = run(loaded, TEXTS, SHORT, batch_size=4)
    assert {s.finished for s in found} == {True, False}
    for request, sampled in zip(requests, found, strict=True):
        assert len(sampled.tokens) and loaded.layout.read(sampled.target).finished == sampled.finished
        tokens, labels = collate([request.context], [sampled.target])
        own = label_logprobs(loaded.model, tokens, labels)[labels != IGNORE]
        np.testing.assert_allclose(sampled.logprobs, own.detach(), atol=1e-4)
        assert len(sampled.behavior) == len(sampled.target)
        # Drawn from codes alone, marks left out: likelier than under the whole vocabulary.
        assert (sampled.behavior >= sampled.logprobs - 1e-4).all()


def test_a_row_does_not_depend_on_its_neighbors(loaded):
    _, together = run(loaded, TEXTS, SHORT)
    for i, text in enumerate(TEXTS):
        voices = [text, text]  # the second with a voice prompt, as in the batch
        alone = run(loaded, voices, SHORT, seeds=[i, i], batch_size=1)[1][i % 2]
        np.testing.assert_array_equal(alone.tokens, together[i].tokens)
        np.testing.assert_allclose(alone.logprobs, together[i].logprobs, atol=1e-4)


def test_the_likeliest_codes_are_those_of_generate(loaded):
    _, [sampled] = run(loaded, ["Hello."], Decoding(temperature=0.01, max_frames_per_character=3.0))
    text = torch.tensor([DiaTokenizer()("[S1] Hello.").input_ids])
    start = torch.full((1, 1 + max(DELAYS), BOOKS), PAD)
    start[:, 0] = BOS
    for book, late in enumerate(DELAYS):
        start[:, 1 : 1 + late, book] = BOS
    own = loaded.model.generate(
        input_ids=text,
        attention_mask=torch.ones_like(text),
        decoder_input_ids=start,
        decoder_attention_mask=torch.ones(1, start.shape[1]),
        do_sample=False,
        guidance_scale=1.0,
        max_new_tokens=30,
        suppress_tokens=[PAD, BOS, SIZE + 3],
    )[0]
    frames = np.stack(loaded.layout.read(sampled.target).speech.levels, axis=1)
    n = min(len(frames), 10)
    wanted = np.stack([own[1 + late : 1 + late + n, book].numpy() for book, late in enumerate(DELAYS)], axis=1)
    np.testing.assert_array_equal(frames[:n], wanted)


def test_draws_follow_the_models_distribution(loaded):
    """The first frame's codes of every book, over many seeds, against the class's own probabilities."""
    decoding = Decoding(max_frames_per_character=0.5)
    _, found = run(loaded, ["Hi", "Hi"] * 600, decoding, batch_size=1200)
    drawn = np.array([s.tokens[0] - 256 for s in found[::2]])  # without a voice prompt
    text = torch.tensor([DiaTokenizer()("[S1] Hi").input_ids])
    logits = loaded.model(input_ids=text, decoder_input_ids=torch.full((1, 1, BOOKS), BOS)).logits[0, 0, :SIZE]
    wanted = logits.double().softmax(-1).detach().numpy() * len(drawn)
    counts = np.bincount(drawn, minlength=SIZE)
    few = wanted < 5
    wanted, counts = (np.append(x[~few], x[few].sum()) for x in (wanted, counts))
    statistic = ((counts - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum()
    assert statistic < len(wanted) - 1 + 4 * np.sqrt(2 * (len(wanted) - 1))


def test_a_cooler_policy_diverges_by_a_temperature(loaded):
    contexts, targets = sequences(loaded)
    start = tiny_dia.dia()
    with torch.no_grad():
        start.logits_dense.weight *= 0.5  # as sampled at temperature 2
    own, other = (code_logprobs(m, contexts, targets, loaded.layout.drawable) for m in (loaded.model, start))
    assert own.shape[0] == sum(map(len, targets)) and torch.isfinite(own).all()
    found = change(own, other)
    assert found.temperature == pytest.approx(0.5, rel=0.01) and found.share == pytest.approx(1, abs=0.01)


def test_adapters_switch_off_and_a_saved_policy_is_the_classs(folder, tmp_path):
    loaded = policy.load(folder)
    tokens, labels = collate(*sequences(loaded))
    policy.train_only(loaded.model, "lora")
    lora.adapt(loaded.model, rank=2, alpha=4, seed=0)
    before = label_logprobs(loaded.model, tokens, labels).detach()
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.1)
    after = label_logprobs(loaded.model, tokens, labels).detach()
    assert not torch.allclose(after, before, atol=1e-2)
    torch.testing.assert_close(label_logprobs(lora.Unadapted(loaded.model), tokens, labels), before)
    lora.merge(loaded.model)
    policy.save(loaded, tmp_path)
    again = DiaForConditionalGeneration.from_pretrained(tmp_path)
    torch.testing.assert_close(label_logprobs(again, tokens, labels).detach(), after, atol=1e-4, rtol=1e-4)
    assert (tmp_path / "tokenizer_config.json").read_bytes() == (folder / "tokenizer_config.json").read_bytes()
    assert policy.load(tmp_path).layout.spec == loaded.layout.spec


def test_a_text_beyond_the_encoder_has_no_room(loaded):
    decoding = Decoding(max_frames_per_character=0.1)
    assert loaded.has_room("a" * 100, decoding=decoding) and not loaded.has_room("a" * 130, decoding=decoding)
    assert not loaded.has_room("a" * 100, decoding=Decoding(max_frames_per_character=6.0))
    with pytest.raises(InputError, match="exceed the model's positions"):
        run(loaded, ["a" * 130], decoding)


@pytest.mark.parametrize(
    ("context", "target", "message"),
    [
        ([5, 6], [7, 8], "a target holds text"),
        ([5, 6], [256, 257], "no whole frames of 3 books"),
        ([256], [256], "needs text first"),
    ],
)
def test_what_cannot_be_scored_is_refused(loaded, context, target, message):
    with pytest.raises(InputError, match=message):
        label_logprobs(loaded.model, *collate([context], [target]))


def test_a_damaged_model_and_another_stop_are_refused(loaded, folder, tmp_path):
    broken = tiny_dia.dia()
    with torch.no_grad():
        broken.logits_dense.weight[3] = torch.nan
    request = loaded.request("Hi", decoding=SHORT, seed=0)
    with pytest.raises(InputError, match="not finite"):
        sample(broken, [request], SHORT, loaded.layout.drawable)
    with pytest.raises(InputError, match="the layout ends speech at"):
        wrong = type(loaded.layout.drawable)(codes=loaded.layout.drawable.codes, stops=(5,))
        adapter_of(loaded.model).sample_once([request], SHORT, wrong, 8, None)
    tiny_dia.save(broken, tmp_path)
    with pytest.raises(CheckpointError, match="logits_dense"):
        policy.load(tmp_path)
