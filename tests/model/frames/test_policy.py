"""A CSM folder as the loop takes it: loaded with its layout, sampled, aligned, saved, and heard as a voice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CsmForConditionalGeneration

from model import policy
from model.errors import InputError
from model.layouts.speech import VoicePrompt
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
    after_step = policy.train_only(loaded.model, "all")
    after_step()
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


@pytest.mark.parametrize("parameters", ["final_norm", "lora"])
def test_other_parts_of_a_frame_parallel_model_are_not_trained(folder, parameters):
    with pytest.raises(InputError, match=f"a csm is aligned with align.parameters all, found {parameters}"):
        policy.train_only(policy.load(folder).model, parameters)


def test_a_voice_needs_no_nar(folder):
    voice = Voice.load(folder, "nowhere", str(folder.parent / "codec"), prompt_frames=8)
    assert voice.nar is None
    wave = 0.3 * np.sin(np.arange(1600) * 0.1).astype(np.float32)
    prompt = voice.encode_prompt(wave, 4000, text="as before")
    [spoken] = voice.synthesize(["Hello."], [prompt], [3], DECODING)
    assert spoken.codes.shape[0] == BOOKS and len(spoken.wave) == 40 * spoken.codes.shape[1] > 0
    [again] = voice.synthesize(["Hello."], [VoicePrompt("0", "as before", prompt.speech)], [3], DECODING)
    np.testing.assert_array_equal(spoken.wave, again.wave)
