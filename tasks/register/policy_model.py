"""The registered model: text and a voice prompt in, speech out.

MLflow stores this file itself (models from code), so loading a version runs readable source and unpickles nothing.
It runs wherever the model is loaded, with the copy of ``model/`` stored with it: it may import that and
the packages of its requirements, nothing else of this repository.

    policy = mlflow.pyfunc.load_model("models:/speechalign-policy@champion")
    voice = Path("voice.flac").read_bytes()
    policy.predict({"text": ["seven two nine"], "prompt_audio": [voice]}, params={"seed": 1})
"""

from __future__ import annotations

import io
import math
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import soundfile
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext

from model.audio import Stream, from_base64, why_unreadable
from model.errors import InputError
from model.layouts.speech import VoicePrompt
from model.long_texts import Part, joined, parts_of
from model.sampling import Decoding
from model.spelling import Spelling, normalize
from model.voice import Voice

AR, NAR, CODEC = "policy", "nar", "codec"  # names of the artifact folders
ABOUT_VOICE = ("prompt_text", "speaker")  # columns that some layouts need


class PolicyModel(PythonModel):
    """Policy, NAR and codec of one iteration, with the decoding that was best for it on dev."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the three parts; ``model_config`` at load time overrides device, decoding and batch size."""
        self.config: dict[str, Any] = dict(context.model_config or {})
        device = self.config.get("device", "auto")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        folders = context.artifacts
        # A published codec is fetched by its name; one of this project's own travels with the model.
        codec = folders.get(CODEC) or self.config["codec"]
        self.voice = Voice.load(folders[AR], folders[NAR], codec, device, self.config.get("prompt_frames"))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Synthesize each row; a text that is too long for the policy in parts, which meet at silence.

        Args:
            model_input: one row per utterance. ``text``, and the voice prompt as the policy takes it: ``prompt_audio``,
                the bytes of an audio file (base64 over HTTP), with ``prompt_text``, what is said in it, where the
                layout has it; or ``speaker``, a name.
            params: ``seed`` of the first row, one more for each row after it; ``temperature``, ``top_k`` and ``top_p``
                (default: the policy's best, chosen on dev).

        Returns:
            ``samples`` (float32 array), ``sample_rate`` (Hz), ``finished`` (False: ran into the length limit) and
            ``audio`` (the bytes of a 16-bit WAV file; base64 over HTTP).

        Raises:
            InputError: a row without text, with one that cannot be read or has a word too long for the policy, or
                without a readable prompt; a negative seed.
        """
        rows = rows_of(model_input)
        asked = params or {}
        chosen = {key: asked[key] for key in ("temperature", "top_k", "top_p") if asked.get(key) is not None}
        decoding = Decoding(**{**self.config["decoding"], **chosen})
        decoding.check()
        first = int(asked.get("seed") or 0)
        if first < 0:
            raise InputError(f"the seed is {first}; expected 0 or more")
        for number, row in enumerate(rows):
            self.clean_text(row.get("text"), number)
        seconds, rate = self.voice.prompt_seconds, self.voice.sample_rate
        prompts = [self.encode_prompt(row, seconds, number) for number, row in enumerate(rows)]
        parts = [self.parts(row["text"], prompts[number], decoding, number) for number, row in enumerate(rows)]
        texts = [self.clean_text(part.text, number) for number, own in enumerate(parts) for part in own]
        voices = [prompt for prompt, own in zip(prompts, parts, strict=True) for _ in own]
        seeds = [seed for number, own in enumerate(parts) for seed in seeds_of(first + number, len(own))]
        spoken = iter(self.voice.synthesize(texts, voices, seeds, decoding, self.config.get("batch_size", 64)))
        utterances = [[next(spoken) for _ in own] for own in parts]
        waves = [joined([u.wave for u in own], p, rate) for own, p in zip(utterances, parts, strict=True)]
        return pd.DataFrame(
            {
                "samples": waves,
                "sample_rate": rate,
                "finished": [all(utterance.sampled.finished for utterance in own) for own in utterances],
                "audio": [wav_file(wave, rate) for wave in waves],
            }
        )

    def clean_text(self, text: Any, number: int) -> str:
        """Return a text as the policy spells it, by the same rules as the corpus; errors name the row."""
        if not isinstance(text, str) and text is not None and text == text:  # not NaN
            raise InputError(
                f"row {number}: text is {str(text)[:80]!r} ({type(text).__name__}); expected words in a string"
            )
        try:
            return normalize(text if isinstance(text, str) else None, Spelling(**self.config.get("spelling", {})))
        except InputError as error:
            raise InputError(f"row {number}: {error}") from error

    def parts(self, text: str, prompt: VoicePrompt, decoding: Decoding, number: int) -> list[Part]:
        """Return an input row's text in parts that the policy has room for; errors name the row."""
        policy = self.voice.policy
        try:
            return parts_of(
                text, lambda part: policy.has_room(self.clean_text(part, number), prompt, decoding=decoding)
            )
        except InputError as error:
            where = f"row {number}: "
            raise InputError(where + str(error).removeprefix(where)) from error

    def encode_prompt(self, row: dict[str, Any], seconds: float, number: int) -> VoicePrompt:
        """Return an input row's voice prompt; errors name the row."""
        kind = self.config.get("voice", "audio")
        text, speaker = (words_of(row, name) for name in ABOUT_VOICE)
        if kind != "audio":
            return VoicePrompt(speaker if kind == "speaker" else "")
        if not text and "prompt_text" in self.voice.policy.layout.spec.prompt_fields:
            raise InputError(f"row {number} has no prompt_text; this policy needs what is said in the voice prompt")
        text = self.clean_text(text, number) if text else ""
        samples, rate = read_prompt(row, seconds, number)
        try:
            return self.voice.encode_prompt(samples, rate, text, speaker)
        except InputError as error:
            raise InputError(f"row {number}: {error}") from error


def rows_of(model_input: pd.DataFrame) -> list[dict[str, Any]]:
    """The input as one dictionary per utterance.

    MLflow turns a dictionary of columns of strings into a single row of lists (over HTTP, of arrays): undone here.
    """
    rows: list[dict[str, Any]] = []
    for record in model_input.to_dict("records"):
        columns = {str(name): value for name, value in record.items() if isinstance(value, (list, np.ndarray))}
        if "text" not in columns:
            rows.append({str(name): value for name, value in record.items()})
        elif len({len(column) for column in columns.values()}) > 1:
            lengths = {name: len(column) for name, column in columns.items()}
            raise InputError(f"columns of different lengths: {lengths}; expected one value of each a text")
        else:
            rows += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows


def seeds_of(seed: int, parts: int) -> list[int]:
    """Return a seed for each part of a text: the text's own for the first, further ones made from it."""
    further = np.random.SeedSequence(seed).generate_state(parts, np.uint32)[1:]
    return [seed, *map(int, further)]


def words_of(row: dict[str, Any], name: str) -> str:
    """Return an optional column's text; "" where the row has none."""
    value = row.get(name)  # NaN where only other rows have one
    return value if isinstance(value, str) else ""


def wav_file(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return mono samples as the bytes of a 16-bit WAV file."""
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def read_prompt(row: dict[str, Any], seconds: float, number: int = 0) -> tuple[np.ndarray, int]:
    """Return the first ``seconds`` of an input row's voice prompt as mono float32 samples, and their rate in Hz.

    Bytes only: a path would be one of the machine that serves, and the answer would tell which files exist there.
    """
    prompt = row.get("prompt_audio")  # NaN where only other rows have one
    if not isinstance(prompt, bytes) or not prompt:
        raise InputError(f"row {number} has no voice prompt; expected prompt_audio, the bytes of an audio file")
    content = audio_of(prompt, number)
    try:
        with Stream(io.BytesIO(content)) as file:
            rate = int(file.samplerate)
            samples = file.read(math.ceil(seconds * rate), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a headerless .raw, whose rate nobody knows
        raise InputError(f"row {number}: the voice prompt is not readable audio: {why_unreadable(error)}") from error
    return samples.mean(axis=1), rate


def audio_of(prompt: bytes, number: int) -> bytes:
    """Return the file of a prompt, which may be in base64 (also the URL's, and as a data URL).

    MLflow decodes base64 in dataframe_split and dataframe_records, but not in inputs and instances.
    """
    if not prompt.isascii() or b"\0" in prompt:
        return bytes(prompt)
    try:
        return from_base64(prompt)
    except ValueError as error:
        raise InputError(
            f"row {number}: prompt_audio is text that is no base64 ({error}); expected the bytes of an audio file"
        ) from error


mlflow.models.set_model(PolicyModel())
