import pytest
import torch

from model import nar

CONFIG = nar.NarConfig(n_codebooks=3, codebook_size=8, layers=2, width=16, heads=2)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nar.Nar(CONFIG).eval()


def test_padding_changes_nothing(model):
    torch.manual_seed(1)
    level1 = [torch.randint(0, 8, (n,)) for n in (5, 17, 9)]
    prompts = [torch.randint(0, 8, (3, n)) for n in (4, 12, 7)]
    together = nar.complete(model, level1, prompts)
    for i in range(3):
        [alone] = nar.complete(model, [level1[i]], [prompts[i]])
        assert torch.equal(alone, together[i])
        assert torch.equal(alone[0], level1[i])  # level 1 is passed through


def test_logits_with_padding_equal_those_without(model):
    codes, prompt = torch.randint(0, 8, (1, 1, 6)), torch.randint(0, 8, (1, 3, 5))
    short = model(codes, torch.tensor([6]), prompt, torch.tensor([5]), 1)
    long = model(
        torch.nn.functional.pad(codes, (0, 4), value=7),
        torch.tensor([6]),
        torch.nn.functional.pad(prompt, (0, 3), value=7),
        torch.tensor([5]),
        1,
    )
    torch.testing.assert_close(long[:, :6], short, atol=1e-5, rtol=1e-4)


def test_an_empty_utterance_gives_empty_codes(model):
    [codes] = nar.complete(model, [torch.zeros(0, dtype=torch.long)], [torch.zeros(3, 4, dtype=torch.long)])
    assert codes.shape == (3, 0)


def test_save_and_load_give_the_same_model(model, tmp_path):
    nar.save(model, tmp_path / "nar")
    loaded = nar.load(tmp_path / "nar")
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


def test_weights_of_another_shape_are_refused(model, tmp_path):
    nar.save(model, tmp_path / "nar")
    config = (tmp_path / "nar/config.json").read_text().replace('"width": 16', '"width": 32')
    (tmp_path / "nar/config.json").write_text(config)
    with pytest.raises(ValueError, match=r"do not fit its config\.json"):
        nar.load(tmp_path / "nar")
