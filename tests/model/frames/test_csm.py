"""CSM against its own class in transformers: contexts, log-probabilities, losses, folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CsmForConditionalGeneration, CsmProcessor, EncodecFeatureExtractor

from model.codecs.hugging_face import Mimi
from model.errors import CheckpointError, InputError
from model.frames.backbone import train_backbone
from model.frames.csm import embed, fold, frame_logprobs, policy_logprobs
from model.frames.tokenizer import FrameTokenizer
from model.layouts.checkpoint import load_causal_lm
from model.layouts.layout import Layout
from model.layouts.speech import Read, Speech, VoicePrompt
from model.objectives.dpo import dpo_loss
from model.objectives.grpo import grpo_loss
from model.objectives.pair_logprobs import PairLogprobs
from tests.model.frames import tiny
from tests.model.frames.tiny import BOOKS, SIZE


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.save(tiny.csm(), tmp_path_factory.mktemp("csm"))


@pytest.fixture(scope="module")
def layout(folder) -> Layout:
    return tiny.layout(folder)


@pytest.fixture
def model(folder, layout) -> CsmForConditionalGeneration:
    return load_causal_lm(folder, layout.tokenizer)


def speech(frames: int, seed: int = 0) -> Speech:
    return Speech.of(*np.random.default_rng(seed).integers(0, SIZE, (BOOKS, frames)))


def voice(frames: int = 6, seed: int = 9) -> VoicePrompt:
    return VoicePrompt("0", "as before", speech(frames, seed))


def sequences(layout: Layout) -> tuple[list[list[int]], list[list[int]]]:
    """Three sequences of different lengths, one without a voice prompt, one cut off."""
    contexts = [layout.context("Hello.", voice()), layout.context("Oh"), layout.context("A longer text", voice(2))]
    return contexts, [layout.target(speech(5, 1)), layout.target(speech(9, 2)), layout.target(speech(1, 3), False)]


def books(layout: Layout):
    assert isinstance(layout.tokenizer, FrameTokenizer)
    return layout.tokenizer.books


# --- layout -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [0, 1, 17])
@pytest.mark.parametrize("finished", [False, True])
def test_frames_come_back_from_the_layouts_tokens(layout, frames, finished):
    assert layout.read(layout.target(speech(frames), finished)) == Read(speech(frames), finished)


def test_the_shipped_layout_fits_the_published_sizes():
    """Of CSM-1B: 128,256 ids of text, then 32 books of 2051."""
    from model.frames.books import Books
    from model.layouts.files import read_layout
    from tests.model.layouts.families import backend

    made = FrameTokenizer(backend(tiny.TOKENS), "here", None, Books(32, 2051, 128256, 259, 0))
    codes = Layout.resolve("csm", read_layout("csm"), made).code_tokens
    assert codes.ids.shape == (32, 2048)
    assert codes.ids[31, 2047] == 128256 + 31 * 2051 + 2047
    assert made.name(128256 + 2051) == "<|code_2051|>"


@pytest.mark.parametrize("wrong", [[1, 2, 3], [0, 1, 1, 3], [1, 0, 2, 3], [0, 1, 2]])
def test_codes_that_are_no_whole_frames_are_refused(layout, wrong):
    made = books(layout)
    ids = [made.first + made.size * book for book in wrong]
    with pytest.raises(InputError, match="no whole frames of 4 books"):
        made.fold([5, *ids, 5])


def test_a_context_embeds_as_the_processors_does(folder, layout, model):
    """The class encodes the prompt's recording itself; here its codes come from the codec interface."""
    wave = torch.randn(400, generator=torch.Generator().manual_seed(3)) * 0.1
    [codes] = Mimi(model.codec_model).encode([wave])
    processor = CsmProcessor(
        EncodecFeatureExtractor(sampling_rate=1000), AutoTokenizer.from_pretrained(folder), tiny.CHAT
    )
    talk = [
        {"role": "0", "content": [{"type": "text", "text": "as before"}, {"type": "audio", "audio": wave.numpy()}]},
        {"role": "0", "content": [{"type": "text", "text": "Hello."}]},
    ]
    text = processor.apply_chat_template(talk, tokenize=False)
    strides = {"kernel_sizes": [40], "strides": [40], "dilations": [1], "use_causal_conv": True}
    given = processor(
        text=text, audio=[wave.numpy()], audio_kwargs={"encoded_length_kwargs": strides, "sampling_rate": 1000}
    )
    merged = model._merge_input_ids_with_input_values(
        given["input_ids"], given["input_values"], given["input_values_cutoffs"]
    )["inputs_embeds"]

    context = layout.context("Hello.", VoicePrompt("0", "as before", Speech.of(*codes.numpy())))
    ours = embed(model, fold(books(layout), [context], [[]], torch.device("cpu")))

    torch.testing.assert_close(ours, merged, atol=0, rtol=0)


# --- log-probabilities ------------------------------------------------------------------------------------------------


def test_log_probabilities_of_book_0_equal_the_class(layout, model):
    contexts, targets = sequences(layout)
    found, mask = policy_logprobs(model, books(layout), contexts, targets)
    assert mask.sum(1).tolist() == [6, 10, 1]
    for row, (context, target) in enumerate(zip(contexts, targets, strict=True)):
        whole = fold(books(layout), [context], [target], model.device)
        logprobs = model(inputs_embeds=embed(model, whole)).logits[0].log_softmax(-1)
        expected = logprobs[whole.before, whole.codes[:, 0]]
        torch.testing.assert_close(found[row][mask[row]], expected, atol=1e-4, rtol=0)
    assert (found[~mask] == 0).all()


def test_the_loss_of_whole_frames_equals_the_class(layout, model):
    """The class's own training loss: a mean over frames for book 0, over frames and books for the others."""
    context, target = layout.context("Hello."), layout.target(speech(5, 1))
    whole = fold(books(layout), [context], [target], model.device)
    labels = torch.full((1, whole.text.shape[1], BOOKS), -100)
    labels[0, whole.before + 1] = whole.codes
    own = model(inputs_embeds=embed(model, whole), labels=labels)

    [found] = frame_logprobs(model, books(layout), [context], [target])

    assert float(-found[:, 0].mean()) == pytest.approx(own.backbone_loss.item(), abs=1e-4)
    assert float(-found[:, 1:].mean()) == pytest.approx(own.depth_decoder_loss.item(), abs=1e-4)


def test_a_sequence_beyond_the_positions_is_refused(layout, model):
    with pytest.raises(InputError, match="exceeds the model's 128"):
        policy_logprobs(model, books(layout), [layout.context("Oh")], [layout.target(speech(127))])


# --- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["dpo", "grpo"])
def test_losses_move_the_backbone_and_nothing_else(layout, tied, kind):
    model = tiny.csm(tied=tied)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    contexts = [layout.context("Hello.", voice())] * 2
    targets = [layout.target(speech(5, 1)), layout.target(speech(7, 2))]
    trained = train_backbone(model)
    optimizer = torch.optim.SGD(trained, lr=0.001)
    with torch.no_grad():
        old, mask = policy_logprobs(model, books(layout), contexts, targets)
    margins = []
    for _ in range(3):
        logprobs, _ = policy_logprobs(model, books(layout), contexts, targets)
        sums, reference = logprobs.sum(1), old.sum(1)
        shift = (sums - reference).detach()
        margins.append(float(shift[0] - shift[1]))
        if kind == "dpo":
            pair = PairLogprobs(
                chosen=sums[:1],
                rejected=sums[1:],
                reference_chosen=reference[:1],
                reference_rejected=reference[1:],
            )
            loss = dpo_loss(pair, beta=0.1).sum()
        else:
            loss = grpo_loss(
                logprobs=logprobs,
                old_logprobs=old,
                reference=old,
                advantages=torch.tensor([1.0, -1.0]),
                mask=mask,
                clip=0.2,
                kl_weight=0.01,
            ).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert margins[0] == pytest.approx(0, abs=1e-5)
    assert margins[0] < margins[1] < margins[2]
    assert "lm_head.weight" in moved and any(name.startswith("backbone_model.layers") for name in moved)
    assert not any(name.startswith(("depth_decoder", "codec_model")) for name in moved)
    assert ("backbone_model.embed_tokens.embed_audio_tokens.weight" in moved) is not tied


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_saved_policy_is_what_transformers_loads(model, layout, tmp_path):
    with torch.no_grad():
        model.lm_head.weight.mul_(1.5)
    tiny.save(model, tmp_path)
    again = CsmForConditionalGeneration.from_pretrained(tmp_path)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())
    assert again.config.to_dict() | {"_name_or_path": ""} == model.config.to_dict() | {"_name_or_path": ""}
    contexts, targets = sequences(layout)
    found = policy_logprobs(load_causal_lm(tmp_path, layout.tokenizer), books(layout), contexts, targets)[0]
    torch.testing.assert_close(found, policy_logprobs(again, books(layout), contexts, targets)[0])


def test_a_tokenizer_of_another_model_is_refused(folder, tmp_path):
    model = tiny.csm()
    model.config.audio_eos_token_id = 299
    tiny.save(model, tmp_path)
    with pytest.raises(CheckpointError, match=r"ends speech at the token 299, which .* does not have"):
        load_causal_lm(tmp_path, tiny.layout(tmp_path).tokenizer)
