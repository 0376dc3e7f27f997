"""Rows of a batch while they are sampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from model.errors import InputError
from model.samples import Request, Sampled


@dataclass
class Rows:
    """The rows of a batch that are being sampled: tensors whose first axis is the row.

    Steps write to slices of them: to write by indices takes a dozen launches on a GPU.
    """

    longest: int  # context
    request: torch.Tensor  # of each row: its index
    limits: torch.Tensor
    stops: torch.Tensor  # step of a row's first stop; past the last step: none yet
    positions: torch.Tensor  # of the token to come
    uniforms: torch.Tensor  # float64 (rows, most): what each draw is made with
    written: torch.Tensor  # (rows, longest + most): contexts, and what was drawn
    logprobs: torch.Tensor  # (rows, most)
    behavior: torch.Tensor
    states: torch.Tensor | None  # of the drawer

    @classmethod
    def of(cls, requests: list[Request], most: int, states: torch.Tensor | None, device: torch.device) -> Rows:
        """Begin ``requests``, of up to ``most`` draws each, in the drawer's ``states``."""
        longest = max(len(r.context) for r in requests)
        # A context is left-padded with its own first token, which is in it anyway.
        written = torch.tensor([[r.context[0]] * (longest - len(r.context)) + list(r.context) for r in requests])
        # Uniform draws of each request's own generator, made up front: inverse-CDF sampling needs no loop over rows.
        uniforms = torch.from_numpy(np.stack([np.random.default_rng(r.seed).random(most) for r in requests]))
        numbers = [[i, r.max_tokens, most, len(r.context)] for i, r in enumerate(requests)]
        request, limits, stops, positions = torch.tensor(numbers, device=device).unbind(1)
        written = torch.cat([written, torch.zeros(len(requests), most, dtype=torch.long)], dim=1).to(device)
        logprobs, behavior = torch.zeros(2, len(requests), most, device=device)
        return cls(longest, request, limits, stops, positions, uniforms.to(device), written, logprobs, behavior, states)

    def kept(self, rows: torch.Tensor) -> Rows:
        """Return these rows, in this order."""
        return Rows(
            self.longest,
            self.request[rows],
            self.limits[rows],
            self.stops[rows],
            self.positions[rows],
            self.uniforms[rows],
            self.written[rows],
            self.logprobs[rows],
            self.behavior[rows],
            None if self.states is None else self.states[rows],
        )

    def sampled(self, rows: torch.Tensor, silent: frozenset[int]) -> dict[int, Sampled]:
        """Return the samples of these rows, which have ended, by their requests.

        Raises:
            InputError: log-probabilities that are not finite.
        """
        own = self.kept(rows.to(self.stops.device))
        finished = own.stops <= own.limits  # a token past the limit is no part of the sample; a stop there is
        lengths = torch.where(finished, own.stops + 1, own.limits)
        tensors = (own.request, own.written[:, self.longest :], own.logprobs, own.behavior, lengths, finished)
        found = {}
        for request, tokens, logprobs, behavior, n, end in zip(*(x.cpu() for x in tensors), strict=True):
            if not torch.isfinite(logprobs[:n]).all():
                raise InputError(
                    "the policy's log-probabilities are not finite, so nothing can be drawn from it; its weights are "
                    "damaged or were trained at too high a rate: take an earlier policy"
                )
            found[int(request)] = Sampled.of(tokens[:n], logprobs[:n], behavior[:n], bool(end), silent)
        return found
