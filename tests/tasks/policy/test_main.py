"""Before the AR's training: is there room for what will be sampled later, and whose is the state that lies there?"""

from __future__ import annotations

import re
import shutil
from contextlib import nullcontext

import pytest
import torch

from model import policy
from model.errors import InputError
from model.sampling import Decoding, sample
from profiles import __main__ as profile
from tasks.common import params, paths, schemas, training
from tasks.common.files import DataError, write_table
from tasks.common.params import Params
from tasks.common.utterances import Utterances
from tasks.policy import __main__ as sft_ar
from tasks.policy.adopt import check_room
from tests.conftest import REPOSITORY
from tests.sequences import Own, voice_of
from tests.tasks import sampled


def utterances(frames: int = 1, **texts: str) -> Utterances:
    """Utterances of these texts by id."""
    facts = {"speaker": "s", "seen": True, "seconds": 1.0, "codes": [[1] * frames]}
    return Utterances.of({"id": name, "text": text, **facts} for name, text in texts.items())


TEXT = "seven two nine"
SPLITS = [utterances(short="one"), utterances(other="one two", long=TEXT)]


def settings(start: str = "train") -> Params:
    loaded = params.load(REPOSITORY / "params.yaml")
    return loaded.model_copy(update={"policy": loaded.policy.model_copy(update={"start": start}), "prompt_frames": 10})


def start_of(positions: int) -> policy.Policy:
    return policy.build(policy.ArShape(1, 16, 2, positions), 4)


def test_an_ar_that_is_trained_for_another_language_has_its_alphabet(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    loaded = settings()
    spelling = loaded.spelling.model_copy(update={"alphabet": " абж"})
    layout = sft_ar.untrained(loaded.model_copy(update={"spelling": spelling})).layout
    assert layout.tokenizer.decode(layout.context("ЖАБА")) == "<s>жаба<prompt><speech>"
    with pytest.raises(InputError, match=r"cannot read 'eno'"):
        layout.context("one")
    assert sft_ar.untrained(loaded).layout.context("one")


def test_a_text_that_may_grow_too_long_is_named_with_the_positions_it_takes():
    with pytest.raises(DataError, match=r"text of long has 14 characters.*ar\.max_positions is 50") as error:
        check_room(SPLITS, settings(), start_of(50))
    needed = int(re.search(r"raise that to (\d+)", str(error.value)).group(1))
    check_room(SPLITS, settings(), start_of(needed))
    with pytest.raises(DataError):
        check_room(SPLITS, settings(), start_of(needed - 1))
    with pytest.raises(DataError, match=r"the policy in some/folder has 50; start from one that has more"):
        check_room(SPLITS, settings("some/folder"), start_of(50))
    # The sampler, which would refuse it after the training, agrees to the position.
    decoding = Decoding()
    torch.manual_seed(0)
    for positions in (needed, needed - 1):
        start = start_of(positions)
        request = start.request(TEXT, voice_of([0] * 10), decoding=decoding, seed=1)
        with nullcontext() if positions == needed else pytest.raises(ValueError, match="positions"):
            assert sample(start.model, [request], decoding, start.layout.drawable)


def test_a_recording_that_is_too_long_for_the_policy_is_named_though_its_text_is_short():
    long = Utterances.of(
        [{"id": "long", "text": "hi", "speaker": "s", "seen": True, "seconds": 40.0, "codes": [[1] * 2000]}]
    )
    with pytest.raises(DataError, match=r"text of long has 2 characters.* 2000 frames of its recording") as error:
        check_room([*SPLITS, long], settings(), start_of(1024))
    needed = int(re.search(r"raise that to (\d+)", str(error.value)).group(1))
    assert needed == len(Own(4).context("hi", [0] * 10)) + 2000
    with pytest.raises(DataError):
        check_room([long], settings(), start_of(needed - 1))


def test_recordings_longer_than_their_samples_may_be_are_told(capsys):
    long = Utterances.of(
        [{"id": "long", "text": "hi", "speaker": "s", "seen": True, "seconds": 1.0, "codes": [[1] * 50]}]
    )
    check_room([*SPLITS, long], settings(), start_of(1024))
    assert "1 of 4 recordings are longer than samples of their texts may be" in capsys.readouterr().out
    check_room(SPLITS, settings(), start_of(1024))
    assert not capsys.readouterr().out


def test_the_librispeech_profile_has_room_for_fast_speech_of_its_longest_recordings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    shutil.copytree(REPOSITORY / "profiles", tmp_path / "profiles")
    (tmp_path / "params.yaml").write_text(profile.merged("librispeech", "corpora")[0], encoding="utf-8")
    profile_of = params.load()
    text = "a" * int(20 * profile_of.prepare.max_seconds)  # 20 characters a second; LibriSpeech has 15 on average
    check_room([utterances(longest=text)], profile_of, start_of(profile_of.ar.max_positions))


def test_a_state_belongs_to_the_very_tokens_it_was_trained_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    sampled.write(tmp_path)
    sampled.start_from(tmp_path, "train")
    rows = list(sampled.train_rows().values())
    for split in ("dev", "test"):
        write_table(paths.codes(split), rows, schemas.CODES)
    found = []

    def stop(*_, fingerprint, **__):
        found.append(fingerprint)
        raise DataError("stopped before the first step")

    monkeypatch.setattr(training, "fit", stop)
    for change in (0, 0, 1):  # one code of one utterance
        rows[0]["codes"][0][0] = (rows[0]["codes"][0][0] + change) % 16
        write_table(paths.codes("train"), rows, schemas.CODES)
        with pytest.raises(SystemExit):
            sft_ar.main()
    assert found[0] == found[1] != found[2]
