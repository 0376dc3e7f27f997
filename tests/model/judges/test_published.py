"""Judges by their name on the Hub, without a network."""

from __future__ import annotations

import socket

import pytest
from huggingface_hub import constants

from model.errors import CheckpointError
from model.judges.second import load_second


def test_a_name_that_can_not_be_downloaded_is_refused_at_once(tmp_path, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as closed:  # bound, and nobody answers
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(CheckpointError, match=r"the Hub can't be reached .* name that folder here") as refused:
            load_second("nobody/no-such-recognizer")
    assert "\n" not in str(refused.value)
    with pytest.raises(CheckpointError, match="can't be a name on the Hugging Face Hub"):
        load_second("a/b/c")
