"""Folders of recordings and lists of texts, as people have them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tasks.common.files import DataError
from tasks.common.systems import check_apart, load, read_system
from tasks.common.text_lists import Text, read_texts
from tests.conftest import real_speech, tone
from tests.s3 import S3Server

TEXTS = {name: Text(name, "one two") for name in ("a", "a_1", "b", "x/y")}


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"RIFF")
    return root


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param(["a.wav", "b.FLAC"], {"a": ["a.wav"], "b": ["b.FLAC"]}, id="one file per text"),
        pytest.param(["b_2.wav", "b_10.wav", "b.wav"], {"b": ["b.wav", "b_2.wav", "b_10.wav"]}, id="numbered draws"),
        pytest.param(["b-seed3.ogg", "b.draw1.ogg"], {"b": ["b.draw1.ogg", "b-seed3.ogg"]}, id="named draws"),
        pytest.param(
            ["b/seed3.opus", "b/seed11.opus"], {"b": ["b/seed3.opus", "b/seed11.opus"]}, id="a folder per text"
        ),
        pytest.param(["s2/b.wav", "s1/b.wav"], {"b": ["s1/b.wav", "s2/b.wav"]}, id="a folder per draw"),
        pytest.param(["a.wav", "a_1.wav"], {"a": ["a.wav"], "a_1": ["a_1.wav"]}, id="an id that looks like a draw"),
        pytest.param(["a_1_2.wav", "a_3.wav"], {"a": ["a_3.wav"], "a_1": ["a_1_2.wav"]}, id="a draw of that id"),
        pytest.param(["x/y.wav", "x/y_1.wav"], {"x/y": ["x/y.wav", "x/y_1.wav"]}, id="an id with a slash"),
        pytest.param(["b.wav", ".b.wav", "._b.wav", "notes.txt"], {"b": ["b.wav"]}, id="hidden and other files"),
    ],
)
def test_each_file_is_a_draw_of_its_text(tmp_path: Path, files: list[str], found: dict[str, list[str]]):
    system = read_system(str(folder(tmp_path, *files)), TEXTS)
    names = {key: [path.relative_to(tmp_path).as_posix() for path in drawn] for key, drawn in system.recordings.items()}
    assert names == found
    assert system.draws == max(map(len, found.values()))
    assert system.strangers == []


def test_folders_that_people_do_not_mean_are_not_read_and_linked_ones_are(tmp_path: Path):
    root = folder(tmp_path / "system", "b.wav", ".ipynb_checkpoints/b.wav", "__MACOSX/._b.wav", "__MACOSX/b.wav")
    folder(tmp_path / "elsewhere", "a.wav")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "linked again").symlink_to(tmp_path / "elsewhere")
    (root / "back").symlink_to(root)
    system = read_system(str(root), TEXTS)
    assert {key: len(paths) for key, paths in system.recordings.items()} == {"a": 1, "b": 1}
    assert system.strangers == []


def test_a_name_that_is_not_utf_8_is_one_message(tmp_path: Path):
    folder(tmp_path, "b.wav")
    (tmp_path / os.fsdecode(b"caf\xe9.wav")).write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"holds caf\ufffd\.wav, a name that is not in UTF-8; rename it"):
        read_system(str(tmp_path), TEXTS)


def test_a_folder_inside_another_is_refused(tmp_path: Path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a/b")
    inside = str(tmp_path / "a")
    for names in ((inside, f"{inside}/b"), (str(tmp_path / "link"), inside), ("s3://x/a", "s3://x/a/b/")):
        with pytest.raises(DataError, match="lies inside"):
            check_apart(names)
    check_apart([inside, str(tmp_path / "ab"), inside, "s3://x/a", "s3://x/ab"])


def test_files_of_no_text_and_texts_without_a_file_are_named(tmp_path: Path):
    system = read_system(str(folder(tmp_path, "b.wav", "deep/c_1.wav")), TEXTS)
    assert system.strangers == ["deep/c_1.wav"]
    assert system.missing(TEXTS) == ["a", "a_1", "x/y"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param([], "holds no recordings", id="empty"),
        pytest.param(["a.txt"], "holds no recordings", id="no audio"),
        pytest.param(["c.wav"], "none of its 1 recordings .* expected names such as a.wav", id="c"),
        pytest.param(["a.wav", "a.flac"], "are one draw of one text", id="twice"),
        pytest.param(["b_1.wav", "b_01.wav"], "are one draw of one text", id="twice by number"),
        pytest.param(["a.m4a"], "convert them to WAV or FLAC", id="no decoder"),
        pytest.param(["a/b.wav"], "may be a draw of 'a' or of 'b'", id="ambiguous"),
    ],
)
def test_a_folder_that_can_not_be_meant_is_refused(tmp_path: Path, files: list[str], message: str):
    with pytest.raises(DataError, match=message):
        read_system(str(folder(tmp_path, *files)), TEXTS)


def test_hidden_folders_and_those_of_archives_hold_no_recordings(tmp_path: Path):
    hidden = [f"{name}/a.wav" for name in (".ipynb_checkpoints", ".Trash-0", ".snapshots", "__MACOSX")]
    assert read_system(str(folder(tmp_path, "a.wav", *hidden)), TEXTS).recordings == {"a": [tmp_path / "a.wav"]}


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path):
    folder(tmp_path / "elsewhere", "b.wav")
    own = folder(tmp_path / "own", "a.wav")
    (own / "linked").symlink_to(tmp_path / "elsewhere")
    (own / "loop").symlink_to(own)
    found = read_system(str(own), TEXTS)
    assert (found.recordings, found.strangers) == ({"a": [own / "a.wav"], "b": [own / "linked/b.wav"]}, [])


def test_accents_are_one_letter_however_they_are_written(tmp_path: Path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for i, (file, name) in enumerate([(composed, decomposed), (decomposed, composed)]):
        root = folder(tmp_path / str(i), f"{file}.wav")
        texts = read_texts(str(listed(root, "t.csv", f"id,text\n{name},One\n"))).texts
        assert read_system(str(root), texts).missing(texts) == []


@pytest.mark.parametrize(("file", "name"), [("T0.WAV", "t0"), ("001.wav", "1"), ("t0.wav", "t0.wav")])
def test_a_name_that_is_nearly_an_id_is_told(tmp_path: Path, file: str, name: str):
    with pytest.raises(DataError, match=f"{file} and the id '{name}' differ in case, leading zeros or the ending"):
        read_system(str(folder(tmp_path, file)), {name: Text(name, "one two")})


def test_an_empty_name_is_no_folder():
    with pytest.raises(DataError, match="name is empty"):
        read_system("", TEXTS)


def test_a_pipe_and_a_link_to_nowhere_are_recordings_that_can_not_be_read(tmp_path: Path):
    os.mkfifo(tmp_path / "a.wav")
    (tmp_path / "b.wav").symlink_to(tmp_path / "gone.wav")
    found = read_system(str(tmp_path), TEXTS).recordings
    assert [load(found[name][0], 2).problem for name in "ab"] == [
        "missing audio: expected a file, found a pipe or device",
        "missing audio: expected a file, found no such file",
    ]
    os.mkfifo(tmp_path / "texts.csv")
    with pytest.raises(DataError, match=r"texts.csv is a pipe or device; expected a .csv"):
        read_texts(str(tmp_path / "texts.csv"))


def test_a_file_is_no_folder(tmp_path: Path):
    file = folder(tmp_path, "a.wav") / "a.wav"
    for location in (str(file), str(tmp_path / "nowhere")):
        with pytest.raises(DataError, match="expected a folder of recordings"):
            read_system(location, TEXTS)


def write(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def test_a_usable_recording_has_no_problem(tmp_path: Path):
    sound = load(write(tmp_path / "a.wav", np.stack([tone(), tone()], axis=1), 8000), words=2)
    assert (sound.problem, sound.rate, sound.samples.shape) == ("", 8000, (9600,))


@pytest.mark.parametrize(
    ("samples", "problem", "kept"),
    [
        pytest.param(np.zeros(16000), "silent audio", False, id="silent"),
        pytest.param(np.zeros(0), "empty audio", False, id="no samples"),
        pytest.param(np.full(16000, np.nan), "non-finite", False, id="NaN"),
        pytest.param(np.append(tone(), 1e30), "impossible audio", False, id="beyond any loudness"),
        pytest.param(np.sign(tone()) * 1.0, "clipped audio", True, id="clipped"),
        pytest.param(tone(0.05), "audio too short", True, id="too short for any word"),
        pytest.param(tone(0.5), "audio too short: expected at least 0.60 s for 10 words", True, id="too short"),
        pytest.param(tone(26), "audio too long: expected at most 25 s for 10 words, found 26.0 s", True, id="too long"),
    ],
)
def test_an_unusable_recording_is_a_failure_and_keeps_what_can_be_judged(tmp_path, samples, problem, kept):
    sound = load(write(tmp_path / "a.wav", samples), words=10)
    assert sound.problem.startswith(problem)
    assert bool(len(sound.samples)) == kept


def test_what_is_no_audio_is_a_failure(tmp_path: Path):
    (tmp_path / "a.wav").write_bytes(b"not audio")
    (tmp_path / "b.wav").write_bytes(b"")
    assert load(tmp_path / "a.wav", 1).problem.startswith("unreadable audio")
    assert load(tmp_path / "b.wav", 1).problem.startswith("empty audio")
    assert load(None, 1).problem.startswith("missing audio")


CSV = 'id,text,speaker,prompt,more\na,"One, two.",s1,p/a.wav,x\n\nb,Three,s2,,\n'


def listed(root: Path, name: str, content: str | bytes) -> Path:
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return root / name


def test_texts_of_a_csv(tmp_path: Path):
    semicolons = CSV.replace(",", ";").replace("One; two", "One, two")
    for content in (CSV, "\ufeff" + CSV, CSV.replace("\n", "\r\n"), semicolons):
        file = listed(tmp_path, "texts.csv", content)
        for location in (file, tmp_path):
            found = read_texts(str(location))
            assert found.folder == tmp_path
            assert list(found.texts.values()) == [
                Text("a", "One, two.", "s1", "p/a.wav"),
                Text("b", "Three", "s2", ""),
            ]
    assert list(read_texts(str(listed(tmp_path, "t.tsv", "text\tid\nOne, two.\ta\n"))).texts) == ["a"]


def test_texts_of_a_meta_list(tmp_path: Path):
    lines = "u1|She said.|prompt-wavs/p1.wav|Get the trust fund.\nu2.wav|No.|prompt-wavs/p2.wav|Yes.|wavs/u2.wav\n"
    found = read_texts(str(listed(tmp_path, "meta.lst", lines))).texts
    assert found["u1"] == Text("u1", "Get the trust fund.", "prompt-wavs/p1.wav", "prompt-wavs/p1.wav")
    assert found["u2"].text == "Yes."


def test_texts_of_librispeech():
    root = real_speech("librispeech") / "LibriSpeech" / "test-other"
    found = read_texts(str(root)).texts
    assert len(found) == 50 and len({text.speaker for text in found.values()}) == 5
    system = read_system(str(root), found)
    assert len(system.recordings) == 50 and system.draws == 1
    name, [path] = next(iter(system.recordings.items()))
    assert load(path, found[name].words).problem == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("t.csv", "", "lacks id and text; found an empty file", id="empty"),
        pytest.param("t.csv", "id,text\n", "holds no texts", id="header only"),
        pytest.param("t.csv", "a,One\n", "lacks id and text", id="no header"),
        pytest.param("t.csv", "id,transcript\na,One\n", "lacks text", id="another column"),
        pytest.param("t.csv", "id,text,text\na,One,Two\n", "column 'text' twice", id="column twice"),
        pytest.param("t.csv", "id,text\na,One, two\n", "row 2 has 3 fields", id="comma without quotes"),
        pytest.param("t.csv", 'id,text\na,"One\n', "is not a CSV file", id="quote left open"),
        pytest.param("t.csv", "id,text\na,One\na,Two\n", "'a' is there twice", id="id twice"),
        pytest.param("t.csv", "id,text\n,One\n", "has no id", id="no id"),
        pytest.param("t.csv", "id,text\n../a,One\n", "can't be an id", id="id that leaves the folder"),
        pytest.param("t.csv", "id,text\n/a,One\n", "can't be an id", id="absolute id"),
        pytest.param("t.csv", "id,text\na,\n", "found an empty text", id="empty text"),
        pytest.param("t.csv", "id,text\na,...\n", "expected an English text", id="punctuation"),
        pytest.param("t.csv", "id,text\na,\u4f60\u597d\n", "expected an English text", id="another script"),
        pytest.param("t.csv", "id,text\na,caf\xe9\n".encode("latin-1"), "is not UTF-8 text", id="Latin-1"),
        pytest.param("t.csv", "id,text\na,One\n".encode("utf-16"), "is not UTF-8 text", id="UTF-16"),
        pytest.param("t.csv", b"id,text\na,O\0ne\n", "NUL", id="NUL"),
        pytest.param("meta.lst", "a|One\n", "has 2 fields", id="meta of two fields"),
        pytest.param("meta.lst", "|p|p.wav|One\n", "has no id", id="meta without id"),
        pytest.param("b.trans.txt", "a-1-1\n", "found an empty text", id="transcript without text"),
        pytest.param("t.json", "[]", "an ending that is not known", id="another format"),
    ],
)
def test_a_list_of_texts_that_can_not_be_meant_is_refused(tmp_path, name: str, content: str | bytes, message: str):
    with pytest.raises(DataError, match=message) as refused:
        read_texts(str(listed(tmp_path, name, content)))
    assert str(tmp_path) in str(refused.value)


def test_a_folder_without_one_list_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="holds 0 lists"):
        read_texts(str(tmp_path))
    listed(tmp_path, "a.csv", CSV)
    listed(tmp_path, "b.csv", CSV)
    with pytest.raises(DataError, match=r"holds 2 lists of texts \(a.csv, b.csv\)"):
        read_texts(str(tmp_path))
    with pytest.raises(DataError, match="does not exist"):
        read_texts(str(tmp_path / "c.csv"))


def test_systems_and_texts_on_s3(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPEECHALIGN_CACHE", str(tmp_path / "cache"))
    client = s3_server.client()
    client.create_bucket(Bucket="speech")
    client.put_object(Bucket="speech", Key="run/texts.csv", Body=CSV.encode())
    client.put_object(Bucket="speech", Key="run/after/a_1.wav", Body=write(tmp_path / "a.wav", tone()).read_bytes())
    texts = read_texts("s3://speech/run/texts.csv").texts
    assert list(texts) == ["a", "b"]
    system = read_system("s3://speech/run/after", texts, "after")
    assert load(system.recordings["a"][0], 2).problem == ""
    with pytest.raises(DataError, match=r"s3://speech/run/more.csv does not exist"):
        read_texts("s3://speech/run/more.csv")
