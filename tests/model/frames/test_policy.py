"""A CSM folder as the loop takes it: loaded with its layout, sampled, aligned, saved, and heard as a voice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CsmForConditionalGeneration

from model import lora, policy
from model.errors import InputError
from model.fast.shared_context import collate_pairs, scored_tokens
from model.frames.families import books_in
from model.layouts.speech import VoicePrompt
from model.objectives.logprobs import collate, label_logprobs
from model.sampling import Decoding, sample
from model.voice import Voice
from tests.model.frames import tiny
from tests.model.frames.tiny import BOOKS

DECODING = Decoding(temperature=1.0, max_frames_per_character=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("csm")
    tiny.csm().codec_model.save_pretrained(root / "codec")
    return tiny.save(tiny.csm(), root / "policy")


def test_samples_are_whole_frames_and_the_longest_has_room(folder):
    loaded = policy.load(folder)
    request = loaded.request("Hello.", decoding=DECODING, seed=1)
    assert request.max_tokens == len("Hello.") * BOOKS
    [found] = sample(loaded.model, [request], DECODING, loaded.layout.drawable)
    assert found.tokens.dtype == np.int32 and len(found.tokens) % BOOKS == 0
    assert loaded.has_room("a" * 50, decoding=DECODING) and not loaded.has_room("a" * 70, decoding=DECODING)


def test_only_the_backbone_is_trained_and_the_folder_stays_transformers_own(folder, tmp_path):
    loaded = policy.load(folder)
    policy.without_dropout(loaded.model)
    assert policy.train_only(loaded.model, "all") is None
    trained = [name for name, p in loaded.model.named_parameters() if p.requires_grad]
    assert trained and not any(name.startswith(("depth_decoder", "codec_model")) for name in trained)
    with torch.no_grad():
        loaded.model.lm_head.weight.add_(0.1)
    policy.save(loaded, tmp_path)
    again = CsmForConditionalGeneration.from_pretrained(tmp_path)
    assert all(torch.equal(value, loaded.model.state_dict()[name]) for name, value in again.state_dict().items())
    for name in ("tokenizer.json", "chat_template.jinja", "preprocessor_config.json", "generation_config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert policy.load(tmp_path).layout.spec == loaded.layout.spec


def test_gains_alone_of_a_frame_parallel_model_are_not_trained(folder):
    with pytest.raises(InputError, match=r"a csm is aligned with align\.parameters all or lora, found final_norm"):
        policy.train_only(policy.load(folder).model, "final_norm")


def test_adapters_of_the_backbone_alone_switch_off_and_merge(folder):
    model = policy.load(folder).model
    contexts, targets = [[5, 6]], [books_in(model).ids(np.ones((3, BOOKS)))]
    tokens, labels = collate(contexts, targets)
    policy.train_only(model, "lora")
    lora.adapt(model, rank=2, alpha=4, seed=0)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained and all(name.startswith("backbone_model.layers.") and "lora_" in name for name in trained)
    before = label_logprobs(model, tokens, labels)
    before.sum().backward()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0
                parameter.add_(0.1)
    adapted = label_logprobs(model, tokens, labels)
    assert not torch.allclose(adapted, before, atol=1e-2)
    reference = label_logprobs(lora.Unadapted(model), tokens, labels)
    torch.testing.assert_close(reference, before)
    assert not reference.requires_grad
    lora.merge(model)
    torch.testing.assert_close(label_logprobs(model, tokens, labels), adapted, atol=1e-4, rtol=1e-4)


def test_only_what_the_backbone_decides_is_counted(folder):
    """Means over tokens (NLL weights, GRPO, SimPO) are over book 0, which 1 of 4 labels is, and the stop."""
    model = policy.load(folder).model
    books = books_in(model)
    target = [*books.ids(np.ones((3, BOOKS))), books.end_token]
    pair = {"context": [5, 6], "chosen": target, "rejected": target[:BOOKS], "chosen_from": 0, "rejected_from": 0}
    batch = collate_pairs([pair])
    chosen, rejected = scored_tokens(model, batch["labels"], batch["side"])
    assert (chosen.tolist(), rejected.tolist()) == ([4], [1])


def test_a_voice_needs_no_nar(folder):
    voice = Voice.load(folder, "nowhere", str(folder.parent / "codec"), prompt_frames=8)
    assert voice.nar is None
    wave = 0.3 * np.sin(np.arange(1600) * 0.1).astype(np.float32)
    prompt = voice.encode_prompt(wave, 4000, text="as before")
    [spoken] = voice.synthesize(["Hello."], [prompt], [3], DECODING)
    assert spoken.codes.shape[0] == BOOKS and len(spoken.wave) == 40 * spoken.codes.shape[1] > 0
    [again] = voice.synthesize(["Hello."], [VoicePrompt("0", "as before", prompt.speech)], [3], DECODING)
    np.testing.assert_array_equal(spoken.wave, again.wave)
