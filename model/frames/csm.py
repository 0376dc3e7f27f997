"""CSM: a backbone that writes book 0 of each frame, and a depth decoder that fills in the other books.

The backbone is the policy: its log-probability of book 0 is what preference and policy-gradient losses move. The depth
decoder plays the part of a NAR and stays as it is, as do the codec and the embeddings that it shares with the backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from model.errors import InputError
from model.frames.books import Books, Positions

if TYPE_CHECKING:
    from transformers import CsmForConditionalGeneration


@dataclass(frozen=True)
class Folded:
    """Contexts with their targets, by position and padded on the right, where a causal model does not see it.

    Item ``i`` of ``rows`` and ``before`` ``(frames,)`` is the row of a target's frame and the position before it, whose
    hidden state predicts it; ``codes (frames, books)`` holds the frame.
    """

    text: torch.Tensor  # (batch, positions)
    frames: torch.Tensor  # (batch, positions, books)
    is_frame: torch.Tensor  # (batch, positions)
    rows: torch.Tensor
    before: torch.Tensor
    codes: torch.Tensor


def fold(
    books: Books, contexts: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], device: torch.device
) -> Folded:
    """Return token ids as a batch.

    Raises:
        InputError: codes that are no whole frames, an empty context, or text in a target.
    """
    given = [books.fold(context) for context in contexts]
    written = [books.fold(target) for target in targets]
    for context, target in zip(given, written, strict=True):
        if not len(context) or not target.is_frame.all():
            raise InputError("a sequence needs a context, and a target of frames only")
    sizes = [len(c) + len(t) for c, t in zip(given, written, strict=True)]
    shape = (len(sizes), max(sizes, default=0))
    text, is_frame = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    frames = torch.zeros(*shape, books.count, dtype=torch.long)
    for row, parts in enumerate(zip(given, written, strict=True)):
        at = 0
        for part in parts:
            end = at + len(part)
            text[row, at:end] = torch.from_numpy(part.text)
            frames[row, at:end] = torch.from_numpy(part.frames)
            is_frame[row, at:end] = torch.from_numpy(part.is_frame)
            at = end
    rows = torch.tensor([row for row, t in enumerate(written) for _ in range(len(t))], dtype=torch.long)
    before = torch.tensor([len(c) - 1 + n for c, t in zip(given, written, strict=True) for n in range(len(t))])
    codes = torch.cat([torch.from_numpy(t.frames) for t in written]) if written else frames[:0, 0]
    made = (text, frames, is_frame, rows, before.long(), codes)
    return Folded(*(tensor.to(device) for tensor in made))


def embed(model: CsmForConditionalGeneration, batch: Folded | Positions) -> torch.Tensor:
    """Return embeddings ``(…, width)`` of text and frames, as the class merges them."""
    device = model.device
    text, frames, is_frame = (torch.as_tensor(x, device=device) for x in (batch.text, batch.frames, batch.is_frame))
    squeezed = text.dim() == 1  # the class's embedding sums over the third dimension
    audio = model.backbone_model.embed_tokens(frames[None] if squeezed else frames)
    return torch.where(is_frame[..., None], audio[0] if squeezed else audio, model.embed_text_tokens(text))


def hidden_before(model: CsmForConditionalGeneration, batch: Folded) -> torch.Tensor:
    """Return the backbone's last hidden state ``(frames, width)`` before each frame of the targets.

    Raises:
        InputError: a sequence that is longer than the model's positions.
    """
    return policy_hidden(model, embed(model, batch))[batch.rows, batch.before]


def policy_hidden(model: CsmForConditionalGeneration, embedded: torch.Tensor) -> torch.Tensor:
    """Return the backbone's last hidden states ``(batch, positions, width)`` of embeddings of that shape.

    Raises:
        InputError: a sequence that is longer than the model's positions.
    """
    given = given_for(model, embedded)
    return model.backbone_model(inputs_embeds=embedded, use_cache=False, **given).last_hidden_state


def given_for(
    model: CsmForConditionalGeneration, embedded: torch.Tensor, side: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Return positions and mask for a forward pass of embeddings ``(batch, positions, width)``, if they need any.

    Args:
        side: ``(batch, positions)``, 0 for a context that two sides of a pair share: a side sees it and itself only,
            and its positions begin where the context's end.

    Raises:
        InputError: a sequence that is longer than the model's positions.
    """
    given: dict[str, torch.Tensor] = {}
    length = embedded.shape[1]
    if side is not None:
        own = (side[:, None, :] == side[:, :, None]) | (side[:, None, :] == 0)
        visible = own.tril()
        positions = visible.sum(dim=2) - 1
        hidden = torch.zeros(visible.shape, dtype=embedded.dtype, device=embedded.device)
        hidden.masked_fill_(~visible, torch.finfo(embedded.dtype).min)
        given = {"position_ids": positions, "attention_mask": hidden[:, None]}
        length = int(positions.max()) + 1
    if length > (limit := model.config.max_position_embeddings):
        raise InputError(f"a sequence of {length} positions exceeds the model's {limit}; shorten the text")
    return given


def policy_logprobs(
    model: CsmForConditionalGeneration,
    books: Books,
    contexts: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probability of book 0 of each target's frames ``(batch, longest)``, 0 elsewhere, and the mask.

    The frame in which speech ends counts too, as its book 0. Gradients flow to the backbone.
    """
    batch = fold(books, contexts, targets, model.device)
    logits = model.lm_head(hidden_before(model, batch)).float()
    found = -torch.nn.functional.cross_entropy(logits, batch.codes[:, 0], reduction="none")
    lengths = torch.bincount(batch.rows, minlength=len(targets))
    mask = torch.arange(int(lengths.max()), device=model.device) < lengths[:, None]
    return torch.zeros(mask.shape, device=model.device).masked_scatter(mask, found), mask


@torch.inference_mode()
def frame_logprobs(
    model: CsmForConditionalGeneration,
    books: Books,
    contexts: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
) -> list[torch.Tensor]:
    """Return the log-probability of every book ``(frames, books)`` of each target, on the CPU: the depth decoder's too.

    The depth decoder reads the backbone's hidden state, so these show whether it still fits a backbone that was moved.
    """
    batch = fold(books, contexts, targets, model.device)
    hidden = hidden_before(model, batch)
    first = model.lm_head(hidden).float().log_softmax(-1).gather(1, batch.codes[:, :1])
    # The place of book 0 is taken by the hidden state; book b is predicted from the books before it.
    given = torch.nn.functional.pad(batch.codes[:, :-1], (1, 0))
    depth = model.depth_decoder(input_ids=given, backbone_last_hidden_state=hidden, use_cache=False).logits
    rest = depth.float().log_softmax(-1).gather(2, batch.codes[:, 1:, None])[..., 0]
    lengths = torch.bincount(batch.rows, minlength=len(targets)).tolist()
    return list(torch.cat([first, rest], dim=1).cpu().split(lengths))
