import shutil
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import whisper

from tasks.common.params import ParamsError, load, own
from tasks.common.params.aligning import OPTIONS, WITH_BETA, Align
from tasks.common.params.models import SAME_WHISPER

DEFAULTS = Path(__file__).resolve().parents[3] / "params.yaml"


def changed(tmp_path, before, after):
    text = DEFAULTS.read_text()
    assert before in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(before, after, 1))
    return path


def method(tmp_path, name):
    """Return the path of the defaults with another method."""
    return changed(tmp_path, "method: dpo", f"method: {name}")


def test_the_defaults_are_valid(tmp_path):
    shutil.copy(DEFAULTS, tmp_path)
    assert load(tmp_path / "params.yaml").iteration("1").prev == "0"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "seed: 17",
            "sead: 17",
            "params.yaml has 2 problems:\n  seed: Field required\n  sead: unknown key; did you mean seed?",
        ),
        ("  method: dpo", "  methd: dpo\n  method: dpo", "params.yaml: align.methd: unknown key; did you mean method?"),
        ('"1": {prev: "0",', '"1": {prev: "0", betta: 1.0,', "iterations.1.betta: unknown key; did you mean beta?"),
        ("seed: 17", "seed: seventeen", "seed: Input should be a valid integer"),
        ("seed: 17", "seed: -1", "seed: Input should be greater than or equal to 0"),
        ("lr: 4.0e-3", "lr: '4e-3'", "lr: Input should be a valid number"),
        ("corpus: synthetic", "corpus: librespeech", "prepare.corpus: Input should be"),
        ("corpus: synthetic", "corpus: librispeech", "prepare.path must say where"),
        ("temperature: 1.0", "temperature: 0", "decoding.temperature: Input should be greater than or equal to 0.01"),
        ('"2": {prev: "1"', '"2": {prev: "7"', 'iterations.2.prev is "7"'),
        ('"2": {prev: "1"', '2: {prev: "1"', "must be a quoted string"),
        ("heads: 4", "heads: 5", "must be a multiple of twice the heads"),
        ("source: own_samples", "source: votes", "prefer.votes must name the file"),
        ("min_seconds: 0.2", "min_seconds: 99.0", "must be below max_seconds"),
        (
            "min_words: 2",
            "min_words: 5",
            "synthetic: min_words (5) must not be above max_words (4)",
        ),
        (
            "rate: [150, 200]",
            "rate: [200, 150]",
            "synthetic: rate ([200, 150]) must name the lower",
        ),
        ("pitch: [-6, 6]", "pitch: [6, -6]", "synthetic: pitch ([6, -6]) must name the lower"),
        ("threads: 2", "threads: 100000", "compute.threads: Input should be less than or equal to 1024"),
        ("processes: auto", "processes: 9999", "processes: Input should be 'auto' or less than or equal to 1024"),
        ("min_seconds: 0.2", "min_seconds: .inf", "min_seconds: Input should be a finite number"),
        ("long_words: [5, 8]", "long_words: [2, 3]", "recorded texts have up to 4 words: the set long must have more"),
        ("draws: 4                  # samples", "draws: 1  # samples", "compares draws of one text"),
        ('"2": {prev: "1"', '"../2": {prev: "1"', "can't name an iteration"),
        ("min_words: 2   ", "min_words: 5", "fsdd: min_words (5) must not be above max_words (4)"),
    ],
)
def test_each_mistake_is_named_with_what_was_found(tmp_path, before, after, message):
    with pytest.raises(ParamsError) as error:
        load(changed(tmp_path, before, after))
    assert message in str(error.value)


def test_an_unknown_iteration_is_named(tmp_path):
    with pytest.raises(ParamsError, match='no iteration "9"'):
        load(DEFAULTS).iteration("9")


def test_a_missing_or_broken_file_says_so(tmp_path):
    with pytest.raises(ParamsError, match="does not exist"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("seed: [")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("no", "float32"), ('"no"', "float32"), ("float32", "float32"), ("bf16", "bf16"), ("auto", "auto")],
)
def test_each_spelling_of_the_precision_is_understood(tmp_path, written, meant):
    assert load(changed(tmp_path, "precision: auto", f"precision: {written}")).compute.precision == meant


@pytest.mark.parametrize("written", ["fp32", "yes", "null", "16", "0"])
def test_another_precision_is_refused_with_the_ones_there_are(tmp_path, written):
    with pytest.raises(ParamsError, match=r"compute\.precision: Input should be 'auto', 'float32', 'bf16' or 'fp16'"):
        load(changed(tmp_path, "precision: auto", f"precision: {written}"))


def test_half_precision_and_muon_are_refused_together(tmp_path):
    path = changed(tmp_path, "precision: auto", "precision: fp16")
    with pytest.raises(ParamsError, match=r"fp16 scales the loss.*optimizer of sft_ar and sft_nar to adamw$"):
        load(path)
    path.write_text(path.read_text().replace("optimizer: muon", "optimizer: adamw"))
    load(path)


def test_half_precision_and_sharding_are_refused_together(tmp_path):
    path = changed(tmp_path, "precision: auto", "precision: fp16")
    path.write_text(
        path.read_text().replace("shard: false", "shard: true").replace("optimizer: muon", "optimizer: adamw")
    )
    with pytest.raises(ParamsError, match="shard splits the gradients, which precision fp16 scales; take bf16"):
        load(path)


def test_grpo_needs_two_samples_of_a_text(tmp_path):
    path = method(tmp_path, "grpo")
    load(path)
    path.write_text(path.read_text().replace("    draws: 4\n", "    draws: 1\n", 1))
    with pytest.raises(ParamsError, match=r"align\.grpo\.draws: Input should be greater than or equal to 2"):
        load(path)


def test_golden_pairs_need_texts_with_recordings(tmp_path):
    path = changed(tmp_path, "source: own_samples", "source: golden")
    with pytest.raises(ParamsError, match=r"texts of texts\.sample digits have no recording; set texts\.sample to cor"):
        load(path)
    path.write_text(path.read_text().replace("  sample: digits ", "  sample: corpus ", 1))
    load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sample: digits ", "sample: file ", "sample is file, so texts.sample_file must name a file"),
        ("long: digits ", "long: file ", "long is file, so texts.long_file must name a file"),
        ("long_words: [5, 8]", "long_words: [8, 5]", r"long_words \(\[8, 5\]\) must name the lower value first"),
    ],
)
def test_texts_that_cannot_be_made_are_refused(tmp_path, old, new, message):
    with pytest.raises(ParamsError, match=message):
        load(changed(tmp_path, old, new))


CHANGED = [
    ("temperature: 1.0", "temperature: 0.7"),
    ("top_k: 0", "top_k: 20"),
    ("min_p: 0.0", "min_p: 0.1"),
    ("repetition_penalty: 1.0", "repetition_penalty: 1.1"),
    ("redraw_stuck: 0", "redraw_stuck: 2"),
]


@pytest.mark.parametrize("name", ["ppo", "grpo"])
@pytest.mark.parametrize(("old", "new"), CHANGED)
def test_methods_that_learn_from_their_own_samples_take_them_as_they_are(tmp_path, name, old, new):
    path = method(tmp_path, name)
    text = path.read_text()
    load(path)
    path.write_text(text.replace(f"\n  {old}", f"\n  {new}", 1))
    with pytest.raises(ParamsError, match=rf"{name} learns from the policy's samples as they are.*set {old}"):
        load(path)


def test_hindsight_needs_all_parameters(tmp_path):
    path = changed(tmp_path, "method: dpo", "method: coh")
    path.write_text(path.read_text().replace("  parameters: all ", "  parameters: final_norm "))
    with pytest.raises(ParamsError, match=r"coh teaches new words.*set parameters: all"):
        load(path)


def test_options_that_the_method_does_not_use_must_be_off(tmp_path):
    path = changed(tmp_path, "method: dpo", "method: rejection")
    text = path.read_text().replace("nll_weight: null", "nll_weight: 1.0")
    path.write_text(text.replace("length_normalized: false", "length_normalized: true"))
    with pytest.raises(ParamsError) as error:
        load(path)
    assert (
        "align.method rejection does not use nll_weight (1.0; set it to 0.0), length_normalized (True; set it to false)"
    ) in str(error.value).replace("align: ", "")
    text = path.read_text().replace("length_normalized: true", "length_normalized: false")
    path.write_text(text.replace("nll_weight: 1.0", "nll_weight: 0.0"))
    load(path)


def test_a_learning_rate_made_for_gains_is_refused_for_adapters(tmp_path):
    path = changed(tmp_path, "lr: 3.0e-4", "lr: 0.1")
    path.write_text(path.read_text().replace("  parameters: all ", "  parameters: lora "))
    with pytest.raises(ParamsError, match=r"with parameters: lora, set it to 0\.01 at most \(about 2\.0e-3\)"):
        load(path)


def test_a_learning_rate_made_for_gains_is_refused_for_all_weights(tmp_path):
    path = changed(tmp_path, "lr: 3.0e-4", "lr: 0.1")
    with pytest.raises(ParamsError, match=r"lr 0\.1 is made for the gains.*set it to 0\.01 at most"):
        load(path)
    path.write_text(path.read_text().replace("  parameters: all ", "  parameters: final_norm "))
    load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "method: dpo",
            "method: kto",
            r"align\.method kto takes whole utterances, so prefer\.credit must be utterance",
        ),
        ("source: own_samples", "source: longest", r"which source longest doesn't compare; set credit: utterance"),
    ],
)
def test_segments_are_refused_where_nothing_uses_them(tmp_path, old, new, message):
    path = changed(tmp_path, "credit: utterance", "credit: segment")
    load(path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ParamsError, match=message):
        load(path)


@pytest.mark.parametrize("name", get_args(Align.model_fields["method"].annotation))
def test_a_method_has_its_own_beta_and_weight_of_the_likelihood(tmp_path, name):
    path = method(tmp_path, name)
    params = load(path)
    assert own.beta_of(params, "2") == own.BETAS.get(name)
    assert own.nll_weight_of(params) == (1.0 if name in WITH_BETA else 0.0)
    path.write_text(path.read_text().replace('"2": {prev: "1", beta: null}', '"2": {prev: "1"}'))
    assert load(path) == params


def test_a_beta_or_weight_in_the_settings_is_taken(tmp_path):
    path = changed(tmp_path, "nll_weight: null", "nll_weight: 0.0")
    path.write_text(path.read_text().replace('"2": {prev: "1", beta: null}', '"2": {prev: "1", beta: 0.3}'))
    params = load(path)
    assert (own.beta_of(params, "1"), own.beta_of(params, "2"), own.nll_weight_of(params)) == (0.1, 0.3, 0.0)
    assert set(own.BETAS) == set(WITH_BETA) == set(OPTIONS["nll_weight"][1])


@pytest.mark.parametrize("name", ["ppo", "grpo", "coh", "sft", "rejection", "best_of_n"])
def test_a_beta_that_the_method_does_not_use_is_refused(tmp_path, name):
    path = method(tmp_path, name)
    path.write_text(path.read_text().replace("beta: null}", "beta: 0.1}"))
    with pytest.raises(ParamsError, match=rf"align\.method {name} does not use iterations\.1\.beta \(0\.1\).*null"):
        load(path)


def test_ipo_is_not_asked_for_a_margin_out_of_reach(tmp_path):
    path = changed(tmp_path, "method: dpo", "method: ipo")
    load(path)
    path.write_text(path.read_text().replace("beta: null}", "beta: 0.1}"))
    with pytest.raises(
        ParamsError, match=r"iterations\.1\.beta is 0\.1, so ipo asks for a margin.* = 5 nats per token"
    ):
        load(path)


@pytest.mark.parametrize("wrong", ["5", "[]", "null", '"1"', "true", "{1: {prev: '0', beta: 0.1}}"])
def test_iterations_of_another_shape_are_one_message(tmp_path, wrong):
    text = DEFAULTS.read_text(encoding="utf-8")
    before, _, rest = text.partition("iterations:\n")
    (tmp_path / "params.yaml").write_text(f"{before}iterations: {wrong}\n{rest[rest.index('evaluate:') :]}")
    with pytest.raises(ParamsError, match=r"(?s)params\.yaml.*iterations"):
        load(tmp_path / "params.yaml")


@pytest.mark.parametrize("name", ["rpo", "grpo"])
def test_what_learns_from_similarity_needs_a_voice_to_compare_with(tmp_path, name):
    path = method(tmp_path, name)
    path.write_text(path.read_text().replace("  voice: audio ", "  voice: none "))
    with pytest.raises(ParamsError, match=rf"policy\.voice is none, .* align\.method {name} learns from"):
        load(path)
    if name == "grpo":
        path.write_text(path.read_text().replace("similarity_weight: 0.5", "similarity_weight: 0.0"))
        assert load(path).policy.voice == "none"


def test_simpo_needs_a_beta_for_means_over_tokens(tmp_path):
    path = changed(tmp_path, "method: dpo", "method: simpo")
    load(path)
    path.write_text(path.read_text().replace("beta: null}", "beta: 0.1}"))
    with pytest.raises(ParamsError, match=r"iterations\.1\.beta is 0\.1, but simpo's rewards are means.*2\.0 to 10\.0"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("temperature: 1.0", "temperature: 1.0e-40"),
        ("temperatures: [1.0, 0.7", "temperatures: [1.0e-40, 0.7"),
        ("lr: 3.0e-4", "lr: 1.0e-30"),
        ("lr: 3.0e-4", "lr: .inf"),
        ("lr: 4.0e-3", "lr: 1.0e+30"),
        ("seed: 17", "seed: 4294967296"),
        ("seed: 17", f"seed: 1{'0' * 400}"),
        ("value_lr: 1.0e-3", "value_lr: 1.0e+9"),
        ("beta: null}", "beta: 1.0e-30}"),
        ("beta: null}", "beta: 1.0e+30}"),
    ],
)
def test_numbers_that_can_have_no_effect_or_only_a_ruinous_one_are_refused(tmp_path, old, new):
    path = changed(tmp_path, old, new)
    with pytest.raises(ParamsError, match=old.partition(":")[0]):
        load(path)


@pytest.mark.parametrize("name", ["ipo", "rpo", "kto"])
@pytest.mark.parametrize(
    ("old", "new"),
    [("label_smoothing: 0.0", "label_smoothing: 0.1"), ("length_normalized: false", "length_normalized: true")],
)
def test_options_that_a_method_does_not_use_are_refused(tmp_path, name, old, new):
    path = method(tmp_path, name)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ParamsError, match=rf"align.method {name} does not use {new.partition(':')[0]}"):
        load(path)


def test_a_method_that_cannot_use_the_pair_source_says_which_it_can(tmp_path):
    path = method(tmp_path, "rpo")
    path.write_text(path.read_text().replace("source: own_samples", "source: golden", 1))
    with pytest.raises(ParamsError, match=r"rpo can't use prefer.source golden.*it can use own_samples"):
        load(path)


@pytest.mark.parametrize(
    ("recognizer", "held_out"),
    [
        ("checkpoints/whisper", "checkpoints/whisper"),
        ("checkpoints/whisper", "checkpoints/whisper/"),
        ("./checkpoints/../checkpoints/whisper", "checkpoints/whisper"),
        ("checkpoints/whisper", "link"),
        ("large-v3", "large"),
        ("turbo", "large-v3-turbo"),
    ],
)
def test_one_recogniser_by_two_names_is_no_held_out_judge(tmp_path, monkeypatch, recognizer, held_out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints" / "whisper").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "checkpoints" / "whisper")
    path = changed(tmp_path, "recognizer: checkpoints/whisper", f"recognizer: {recognizer}")
    path.write_text(path.read_text().replace("recognizer: pocketsphinx-digits", f"recognizer: {held_out}", 1))
    with pytest.raises(ParamsError) as error:
        load(path)
    assert f"held_out_recognizer ({held_out}) is the same as recognizer ({recognizer})" in str(error.value)


@pytest.mark.parametrize("held_out", ["large-v2", "large-v3-turbo", "checkpoints/whisper_golden", "null"])
def test_another_recogniser_or_none_is_held_out(tmp_path, held_out):
    path = changed(tmp_path, "recognizer: checkpoints/whisper", "recognizer: large")
    path.write_text(path.read_text().replace("recognizer: pocketsphinx-digits", f"recognizer: {held_out}", 1))
    assert load(path).models.held_out_recognizer == (None if held_out == "null" else held_out)


def test_published_names_of_one_file_are_those_of_the_package():
    files = whisper._MODELS
    assert all(files[name] == files[other] for name, other in SAME_WHISPER.items())
    assert len({SAME_WHISPER.get(name, name) for name in files}) == len(set(files.values()))


def test_a_range_of_one_value_is_a_range(tmp_path):
    path = changed(tmp_path, "rate: [150, 200]", "rate: [150, 150]")
    path.write_text(path.read_text().replace("min_words: 2", "min_words: 4"))
    assert load(path).prepare.synthetic.rate == (150, 150)


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(DEFAULTS.read_bytes() + "# café".encode("latin-1"))
    with pytest.raises(ParamsError, match=r"params\.yaml is not UTF-8 text"):
        load(path)


@pytest.mark.parametrize("name", ["team/x", "a:b", "a@champion", "", "..", "a b", "x\\n", "$(touch X)"])
def test_a_model_name_that_the_registry_refuses_is_refused_before_the_loop(tmp_path, name):
    with pytest.raises(ParamsError, match=r"register\.model_name"):
        load(changed(tmp_path, "model_name: speechalign-policy", f'model_name: "{name}"'))


@pytest.mark.parametrize("name", ["../x", "$(touch X)", "ceiling", "a b", "²"])
def test_an_iteration_that_is_no_folder_of_runs_is_refused(tmp_path, name):
    with pytest.raises(ParamsError, match="can't name an iteration"):
        load(changed(tmp_path, '"1": {prev: "0"', f'"{name}": {{prev: "0"'))


def test_iterations_that_some_disks_take_for_one_are_refused(tmp_path):
    path = changed(tmp_path, '"1": {prev: "0"', '"a": {prev: "0"')
    path.write_text(path.read_text().replace('"2": {prev: "1"', '"A": {prev: "a"'))
    with pytest.raises(ParamsError, match="differs from another one in capitals only"):
        load(path)


@pytest.mark.parametrize("written", ["4e-3", "4.0e-3", "0.004", "4.0E-3", "4e-03"])
def test_a_number_is_read_as_dvc_writes_it(tmp_path, written):
    assert load(changed(tmp_path, "lr: 4.0e-3", f"lr: {written}")).sft_ar.lr == 4e-3


def test_no_is_a_precision_without_quotes(tmp_path):
    assert load(changed(tmp_path, "precision: auto", "precision: no")).compute.precision == "float32"


@pytest.mark.parametrize("value", ["0", "-1", "two", "true", "null", "1.5"])
@pytest.mark.parametrize("name", ["processes", "workers"])
def test_a_number_that_may_be_auto_is_refused_in_one_line(tmp_path, name, value):
    with pytest.raises(ParamsError) as error:
        load(changed(tmp_path, f"{name}: auto", f"{name}: {value}"))
    message = str(error.value)
    assert f"params.yaml: compute.{name}: Input should be 'auto' or " in message and "\n" not in message


@pytest.mark.parametrize(
    ("text", "found"),
    [("[" * 100_000 + "]" * 100_000, "nests too deeply"), ("seed: 1\nseed: 2", 'duplicate key "seed"'),
     ("seed: 2020-99-99", "month"), ("seed: [", "valid YAML"), ("- 1", "holds list")],
)  # fmt: skip
def test_what_is_no_settings_file_is_named(tmp_path, text, found):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=found) as error:
        load(tmp_path / "params.yaml")
    assert str(error.value).startswith(str(tmp_path / "params.yaml"))


@pytest.mark.parametrize("path", ["s3://AKIAIOSFODNN7EXAMPLE:hunter22@bucket/x", "https://host/x?token=hunter22"])
def test_credentials_in_the_settings_are_refused_and_not_shown(tmp_path, path):
    with pytest.raises(ParamsError, match=r"prepare\.path holds credentials") as error:
        load(changed(tmp_path, "path: null", f"path: {path}"))
    assert "hunter22" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdefghi")),
        "a: &a [*a]\n",
        "iterations: &a {x: *a}\n",
    ],
)
def test_parts_that_refer_to_one_another_are_refused_at_once(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml has \d+ problem"):
        load(path)


def test_the_start_policys_name_is_refused_as_such(tmp_path):
    with pytest.raises(ParamsError, match='iteration "0" is the start policy'):
        load(changed(tmp_path, '"1": {prev', '"0": {prev'))
