"""How much a request may ask for, and how long anything may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes, numbers and seconds; beyond each a request is refused with a status of its own."""

    characters: int = 1000  # of a text: 413
    prompt_bytes: int = 2_000_000  # of a voice prompt's file: 413
    waiting: int = 64  # requests in the queue: 429
    queue_seconds: float = 60.0  # in the queue: 503
    synthesis_seconds: float = 60.0  # from the queue to the last sentence: 504
    receive_seconds: float = 10.0  # for a request's headers, and as much for its body: closed, 408
    send_seconds: float = 30.0  # in which a client must take 48 KiB of an answer: closed
    load_seconds: float = 300.0  # for a version to load

    @property
    def base64_characters(self) -> int:
        """Return the length of the longest prompt in base64, in lines and as a data URL."""
        plain = -(-self.prompt_bytes // 3) * 4
        return plain + plain // 32 + 100

    @property
    def body_bytes(self) -> int:
        """Return the size of the largest request: a prompt in base64, and a text of escaped characters."""
        return self.base64_characters * 33 // 32 + self.characters * 12 + 4096
