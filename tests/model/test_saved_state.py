"""A saved state that cannot be resumed is named before a step is blamed for it; writing may go on beside training."""

import threading
from functools import partial

import pytest
import torch

from model import saved_state
from model.errors import TrainingError
from tests.model.test_training import parameters, train


def first_weight(state):
    return next(iter(state["parts"]["model"].values())).view(-1)


def moments(state):
    return state["parts"]["optimizer 0"]["state"][0]


def spoil_weight(state):
    first_weight(state)[0] = float("nan")


def spoil_moment(state):
    moments(state)["exp_avg_sq"].view(-1)[0] = float("inf")


def spoil_rate(state):
    state["parts"]["optimizer 0"]["param_groups"][0]["lr"] = float("nan")


@pytest.fixture
def state_file(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(state=tmp_path / "s.pt", stop=7)
    return tmp_path / "s.pt"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (spoil_weight, "its model has numbers that are not finite"),
        (spoil_moment, "its optimizer 0 has numbers that are not finite"),
        (spoil_rate, "its optimizer 0 has numbers that are not finite"),
        (lambda state: state["parts"].pop("optimizer 0"), "'optimizer 0'"),
        (lambda state: state["parts"].update(model={}), "Missing key"),
        (lambda state: state.pop("fingerprint"), "'fingerprint'"),
        (lambda state: state.update(step="7"), "it is of step '7', of 12"),
        (lambda state: state.update(step=70), "it is of step 70, of 12"),
        (lambda state: state.update(step=-7), "it is of step -7, of 12"),
    ],
)
def test_a_state_that_cannot_be_resumed_is_named(state_file, change, reason):
    state = torch.load(state_file, weights_only=True)
    change(state)
    torch.save(state, state_file)
    with pytest.raises(TrainingError, match=r"s\.pt cannot be resumed: .*; delete it to train from the start$") as said:
        train(state=state_file)
    assert reason in str(said.value) or (reason == "Missing key" and "loading state_dict" in str(said.value))


@pytest.mark.parametrize("kept", [0, 10, 0.5, -10])
def test_a_torn_state_is_named(state_file, kept):
    content = state_file.read_bytes()
    state_file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(TrainingError, match=r"s\.pt cannot be resumed: \S.*; delete it to train from the start$"):
        train(state=state_file)


def test_a_folder_in_the_place_of_a_state_is_named(tmp_path):
    (tmp_path / "s.pt").mkdir()
    with pytest.raises(TrainingError, match=r"s\.pt cannot be resumed: .*directory"):
        train(state=tmp_path / "s.pt")


def test_moments_that_break_the_weights_are_blamed_not_the_next_items(state_file):
    state = torch.load(state_file, weights_only=True)
    moments(state)["exp_avg_sq"].view(-1)[0] = -1.0  # finite, but its root is not
    torch.save(state, state_file)
    with pytest.raises(TrainingError, match=r"after step \d+, \d+ of 32 values of .* are not finite: the updates"):
        train(state=state_file)
    assert torch.isfinite(parameters(train())).all()


@pytest.fixture
def in_background(monkeypatch):
    """Save as on a GPU."""
    real = saved_state.Saver
    monkeypatch.setattr(
        saved_state, "Saver", lambda path, fingerprint, background: real(path, fingerprint, background=True)
    )


def test_a_run_whose_states_were_written_in_the_background_resumes_alike(in_background, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(state=tmp_path / "s.pt", stop=7)
    seen = []
    resumed = train(state=tmp_path / "s.pt", seen=seen)
    assert 0 < len(seen) < 12
    assert torch.equal(parameters(resumed), parameters(train()))


def test_what_is_written_in_the_background_is_the_state_of_its_step(tmp_path, monkeypatch):
    go, model = threading.Event(), torch.nn.Linear(2, 1)
    before = model.weight.detach().clone()
    saver = saved_state.Saver(tmp_path / "s.pt", "a", background=True)
    monkeypatch.setattr(saver, "_write", partial(wait_and_write, go, saver._write))
    saver.save({"model": model}, 3, write=True)  # and training goes on
    with torch.no_grad():
        model.weight += 1
    go.set()
    saver.finish()
    state = torch.load(tmp_path / "s.pt", weights_only=True)
    assert state["step"] == 3 and torch.equal(state["parts"]["model"]["weight"], before)


def wait_and_write(go, write, *state):
    assert go.wait(60)
    write(*state)


def test_a_state_that_could_not_be_written_in_the_background_is_an_error(tmp_path):
    (tmp_path / "s.pt").mkdir()
    saver = saved_state.Saver(tmp_path / "s.pt", "a", background=True)
    saver.save({"model": torch.nn.Linear(2, 1)}, 3, write=True)
    with pytest.raises(IsADirectoryError):
        saver.finish()
