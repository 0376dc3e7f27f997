"""The body of ``POST /v1/audio/speech``: OpenAI's fields, and a seed, a temperature and a voice of one's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from model.audio import from_base64
from serving.errors import RefusedError
from serving.limits import Limits

LONGEST_NAME = 200  # characters of a speaker's
LARGEST_SEED = 2**53  # what every JSON reader keeps exactly
MOST_FIELDS = 100  # of an object
WORDS = {"extra_forbidden": "this server knows no such field", "json_invalid": "the body is not valid JSON"}
FIELD_WORDS = {
    "voice": 'expected a registered voice\'s name, or a recording as {"audio": BASE64}',
    "speed": "no policy has another than 1",
}


class Recording(BaseModel):
    """A voice by its recording."""

    model_config = ConfigDict(strict=True, extra="forbid")
    audio: str  # a WAV, FLAC or other file of libsndfile, in base64
    text: str = ""  # what is said in it
    speaker: str = Field("", max_length=LONGEST_NAME)

    def decoded(self, limits: Limits) -> bytes:
        """Return the file's bytes.

        Raises:
            RefusedError: not base64 (400), or too many bytes (413).
        """
        too_large = f"voice.audio has more than the {limits.prompt_bytes} bytes allowed; a few seconds suffice"
        if len(self.audio) > limits.base64_characters:
            raise RefusedError(413, too_large)
        try:
            data = from_base64(self.audio.encode("ascii"))
        except UnicodeEncodeError as error:
            raise RefusedError(400, "voice.audio is not base64: it holds other characters than ASCII") from error
        except ValueError as error:
            raise RefusedError(400, f"voice.audio is not base64 ({error})") from error
        if len(data) > limits.prompt_bytes:
            raise RefusedError(413, too_large)
        return data


class Speech(BaseModel):
    """What to say, how, and in which form."""

    model_config = ConfigDict(strict=True, extra="forbid")
    input: str
    voice: str | Recording | None = None  # a registered voice's or speaker's name, or a recording
    model: str | None = None
    response_format: Literal["wav", "flac", "pcm"] = "wav"
    stream: bool = False  # send each sentence when it is ready
    speed: float = Field(1.0, ge=1, le=1)  # no policy has another
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    temperature: float | None = Field(None, gt=0, le=100, allow_inf_nan=False)


def parse(body: bytes) -> Speech:
    """Return the request of a JSON body.

    Raises:
        RefusedError: anything else than one object of these fields, with the first one that is wrong.
    """
    try:
        json.loads(body.decode("utf-8"), object_pairs_hook=_fields)
        return Speech.model_validate_json(body)
    except ValidationError as error:
        first = _telling(error.errors(include_url=False, include_input=False, include_context=False))
        field = ".".join(str(part) for part in first["loc"] if part not in ("str", "Recording"))
        reason = FIELD_WORDS.get(field) or WORDS.get(first["type"], first["msg"])
        raise RefusedError(400, f"{field[:80]}: {reason}" if field else f"{reason}; expected one object") from error
    except UnicodeDecodeError as error:
        raise RefusedError(400, "the body is not valid JSON: it is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not valid JSON ({error}); expected one object") from error


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of one object; of two with one name, JSON readers take either."""
    if len(pairs) > MOST_FIELDS:
        raise RefusedError(400, f"an object of the body has {len(pairs)} fields; expected those of docs/serving.md")
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RefusedError(400, f"{twice[:80]}: given twice; expected each field once")
    return fields


def _telling(errors: Sequence[Any]) -> Any:
    """Return the first error; of a voice that is an object, what is wrong in it, not that it is no name."""
    inside = [error for error in errors if error["loc"][:2] == ("voice", "Recording") and len(error["loc"]) > 2]
    return next((error for error in errors if error["loc"][:1] != ("voice",)), (inside or errors)[0])


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a request.

    Raises:
        RefusedError: not said to be JSON (415), too large (413), or too slow (408).
        ClientDisconnect: the client has gone.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # any page in a browser may send other types without asking
        raise RefusedError(415, f"Content-Type is {kind[:80] or 'missing'}; expected application/json", close=True)
    announced = request.headers.get("content-length", "0")
    too_large = RefusedError(413, f"the body is larger than the {limits.body_bytes} bytes allowed", close=True)
    if announced.isdecimal() and int(announced) > limits.body_bytes:
        raise too_large  # before a byte of it is read
    body = bytearray()
    try:
        async with asyncio.timeout(limits.receive_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body_bytes:
                    raise too_large
    except TimeoutError:
        raise RefusedError(408, f"the body did not arrive within {limits.receive_seconds:g} s", close=True) from None
    return bytes(body)
