"""Sampling by a vLLM server of the policy, by its OpenAI completions API, with the records of :mod:`model.sampling`.

Requests hold token ids and ask for token ids (``return_token_ids``), so that no text is made in between. The server's
log-probabilities are the policy's own, before temperature and truncation (its default, ``raw_logprobs``). It does not
say at which probability a token was drawn: ``behavior`` is NaN.
"""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import numpy as np
import torch

from model.drawable import Drawable
from model.drawing import Decoding
from model.errors import SpeechAlignError
from model.objectives.logprobs import IGNORE, collate, label_logprobs
from model.sampling import Request, Sampled
from model.stuck import is_stuck

MOST_APART = 0.2  # nats per token: half precision explains a few hundredths
QUOTED = 300  # characters of a server's answer that a message quotes


class ServerError(SpeechAlignError):
    """A server cannot be reached, does not answer in time, or answers something else than samples."""


@dataclass(frozen=True)
class Server:
    """A vLLM server. ``parallel`` requests are open at once; it batches them. ``timeout`` is in seconds, of each."""

    url: str
    timeout: float = 600.0
    parallel: int = 64

    def sample(
        self,
        requests: Sequence[Request],
        decoding: Decoding,
        drawable: Drawable,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Sampled]:
        """Return the sample of each request. A seed determines its sample as far as the server's sums are repeatable.

        Raises:
            ServerError: with the address.
            InputError: a decoding out of its bounds.
        """
        decoding.check()
        if decoding.repetition_penalty != 1 and decoding.repetition_window:
            raise ServerError(
                f"{self.url}: vLLM penalizes repetition over the whole sequence, found decoding.repetition_window "
                f"{decoding.repetition_window}; set it to 0, or sample without a server"
            )
        if decoding.redraw_stuck:
            raise ServerError(f"{self.url}: samples of a server are not drawn again; set decoding.redraw_stuck to 0")
        model = self._model()
        common = _common(model, decoding, drawable)

        def one(request: Request) -> Sampled:
            body = {"prompt": list(request.context), "max_tokens": request.max_tokens + 1, "seed": request.seed}
            sampled = self._sampled(self._call("/v1/completions", {**common, **body}), request, drawable)
            if on_done:
                on_done(1)
            return sampled

        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(one, requests))

    def _model(self) -> str:
        """Return the name of the only model that the server has."""
        answer = self._call("/v1/models")
        try:
            names = [entry["id"] for entry in answer["data"]]
        except (KeyError, TypeError):
            raise self._unexpected("/v1/models", "a list of models", answer) from None
        if len(names) != 1:
            raise ServerError(f"{self.url} serves {names}; expected one model, the policy: `vllm serve FOLDER`")
        return names[0]

    def _call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        address = self.url.rstrip("/") + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:QUOTED]
            raise ServerError(
                f"{address} refused with status {error.code}: {said}; expected a vLLM server (0.10.2 or later) of the "
                "policy with its context length"
            ) from None
        except TimeoutError:
            raise ServerError(
                f"{address} did not answer within {self.timeout:g} s; is the server overloaded?"
            ) from None
        except ValueError as error:
            raise ServerError(f"{address} answered what is not JSON ({error}); expected a vLLM server there") from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise ServerError(f"{address} did not answer within {self.timeout:g} s; is it overloaded?") from None
            raise ServerError(
                f"{address} cannot be reached ({reason}); start `vllm serve` there, or correct it"
            ) from None

    def _sampled(self, answer: Any, request: Request, drawable: Drawable) -> Sampled:
        try:
            [choice] = answer["choices"]
            ids, logprobs = choice["token_ids"], choice["logprobs"]["token_logprobs"]
            reason, fits = choice["finish_reason"], len(ids) == len(logprobs)
        except (KeyError, TypeError, ValueError):
            raise self._unexpected("/v1/completions", "token_ids, logprobs and finish_reason", answer) from None
        finished = reason == "stop"
        if reason not in ("stop", "length") or not fits or (finished and (not ids or ids[-1] not in drawable.stops)):
            raise self._unexpected("/v1/completions", "tokens up to a stop token or to the limit", answer)
        tokens = (
            ids[:-1] if finished else ids[: request.max_tokens]
        )  # one more was asked for: it might have been a stop
        if len(tokens) > request.max_tokens or not set(tokens) <= set(drawable.codes):
            raise self._unexpected("/v1/completions", f"at most {request.max_tokens} code tokens", answer)
        own = np.asarray(logprobs[: len(tokens) + finished], np.float32)
        if not np.isfinite(own).all():
            raise self._unexpected("/v1/completions", "finite log-probabilities", answer)
        made = np.asarray(tokens, np.int32)
        return Sampled(
            tokens=made,
            logprobs=own,
            behavior=np.full(len(own), math.nan, np.float32),
            finished=finished,
            stop=ids[-1] if finished else None,
            stuck=is_stuck(made, drawable.silent),
        )

    def _unexpected(self, path: str, expected: str, found: Any) -> ServerError:
        return ServerError(
            f"{self.url}{path}: expected {expected}, as vLLM 0.10.2 or later answers, found "
            f"{json.dumps(found)[:QUOTED]}"
        )


def check_same_policy(policy: torch.nn.Module, url: str, request: Request, sampled: Sampled) -> None:
    """Compare a sample's log-probabilities with the policy's own: another model behind the address would go unnoticed.

    Raises:
        ServerError: they differ by more than half precision explains.
    """
    ids, labels = collate([request.context], [sampled.target])
    with torch.inference_mode():
        own = label_logprobs(policy, ids, labels)[labels != IGNORE].cpu().numpy()
    apart = float(np.abs(own - sampled.logprobs).mean())
    if not apart <= MOST_APART:
        raise ServerError(
            f"{url}: its log-probabilities differ from the policy's by {apart:.2f} nats per token, expected "
            f"{MOST_APART} at most: it serves another model; start `vllm serve` with the policy's folder"
        )


def _common(model: str, decoding: Decoding, drawable: Drawable) -> dict[str, Any]:
    """Return the fields that all requests share."""
    return {
        "model": model,
        "temperature": decoding.temperature,
        "top_k": decoding.top_k or -1,
        "top_p": decoding.top_p,
        "min_p": decoding.min_p,
        "repetition_penalty": decoding.repetition_penalty,
        "allowed_token_ids": sorted({*drawable.codes, *drawable.stops}),
        "stop_token_ids": list(drawable.stops),
        "ignore_eos": True,  # the stops are all that ends a sample
        "min_tokens": 1,  # a code comes first
        "logprobs": 0,
        "return_token_ids": True,
        "skip_special_tokens": False,
        "add_special_tokens": False,
    }
