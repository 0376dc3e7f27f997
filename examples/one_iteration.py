"""One iteration of alignment in one file: sample, form pairs, train by DPO, evaluate.

    python -m examples.one_iteration           about two minutes on an idle CPU; it trains a small policy first
    python -m examples.one_iteration --policy runs/0/policy --nar runs/0/nar    starts from the policy of `make demo`

Read it from top to bottom. The pipeline's stages do the same with files between them. The policy (AR) turns text and a
voice prompt into level-1 codes, the NAR adds the other levels, and the codec decodes all levels to audio. A recognizer
transcribes the audio. WER is the share of words that differ from the text. Supervised training needs recordings, here
of two words. Alignment needs only texts and a judge, so it can teach longer texts. A lower temperature needs neither,
so both policies are shown at two of them. A pair needs two draws of one text that differ in word errors; more --draws
find more.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model import espeak, nar, policy
from model.audio import resample
from model.codecs.registry import load_codec
from model.judges import asr
from model.judges.words import compare
from model.layouts.speech import Speech, VoicePrompt
from model.objectives.dpo import dpo_loss
from model.objectives.logprobs import IGNORE, collate, next_token_logits, sequence_logprobs
from model.objectives.pair_logprobs import PairLogprobs
from model.sampling import Decoding, Sampled, sample
from model.statistics import paired_interval

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--policy", type=Path, help="folder of a trained policy; needs --nar")
parser.add_argument("--nar", type=Path, help="folder of its NAR")
parser.add_argument("--sft-steps", type=int, default=400, help="training steps of the small policy and of its NAR")
parser.add_argument("--dpo-steps", type=int, default=30)
parser.add_argument("--draws", type=int, default=3, help="evaluations per text, and chances per text to form a pair")
parser.add_argument("--tiny", action="store_true", help="for a test: few steps, so the policy stays bad")
args = parser.parse_args()
if (args.policy is None) != (args.nar is None):
    parser.error("--policy and --nar go together")
if args.tiny:
    args.sft_steps, args.dpo_steps, args.draws = 120, 10, 1
torch.manual_seed(0)
random.seed(0)
CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
codec = load_codec(str(CHECKPOINTS / "codec"))
recognizer = asr.load_recognizer(CHECKPOINTS / "whisper")

# --- 1. Speech. A synthesizer with one voice stands in for recordings; the codec turns audio into codes. --------------

DIGITS = "one two three four five six seven eight nine".split()
texts = [f"{first} {second}" for first in DIGITS for second in DIGITS]
random.shuffle(texts)
n_words = 6 if args.policy else 3  # more than the policy was trained on
long_texts = [" ".join(random.choices(DIGITS, k=n_words)) for _ in range(160)]
waves = [espeak.synthesize(text, voice="m1", rate=190) for text in texts]
waves = [resample(wave, from_rate=espeak.SAMPLE_RATE, to_rate=codec.sample_rate) for wave in waves]
golden = codec.encode([torch.from_numpy(wave) for wave in waves])  # (levels, frames) each
prompt = golden.pop()[:, :50]  # the voice prompt: up to one second of an utterance that has no other use
texts.pop()
n_levels = len(prompt)
for_pairs, test = long_texts[:120] * args.draws, long_texts[120:]  # neither has recordings

# --- 2. A policy to align. Supervised training lowers the negative log-likelihood of golden codes. --------------------

if args.policy:
    loaded, completer = policy.load(args.policy), nar.load(args.nar)
else:
    loaded = policy.build(policy.ArShape(layers=2, width=128, heads=4), codec.codebook_size)
    completer = nar.Nar(nar.NarConfig(n_codebooks=n_levels, codebook_size=codec.codebook_size, layers=2, width=96))
ar, layout = loaded.model, loaded.layout  # the layout writes text, voice and codes as one sequence of tokens
voice = VoicePrompt(speech=Speech.of(*prompt))
for model in () if args.policy else (ar, completer):
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=args.sft_steps)
    for step in range(args.sft_steps):
        batch = random.sample(range(len(texts)), 8)
        if model is ar:  # the AR predicts each level-1 code from the text, the prompt and the codes before it
            contexts = [layout.context(texts[i], voice) for i in batch]
            tokens, labels = collate(contexts, [layout.target(Speech.of(golden[i][0])) for i in batch])
            loss = -sequence_logprobs(next_token_logits(ar, tokens), labels).sum() / (labels != IGNORE).sum()
        else:  # the NAR predicts one level from all levels below it, all frames at once
            level = 1 + step % (n_levels - 1)
            codes, lengths = nar.pad_codes([golden[i] for i in batch])
            logits = completer(codes[:, :level], lengths, *nar.pad_codes([prompt] * len(batch)), level)
            real = torch.arange(codes.shape[-1]) < lengths[:, None]
            loss = F.cross_entropy(logits[real], codes[:, level][real])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    print(f"{type(model).__name__}: {loss.item():.2f} nats per code in the last of {args.sft_steps} batches")
    model.eval()


# --- 3. Sample and judge: text → level-1 codes → all levels → audio → transcript → word errors. -----------------------


def sample_and_judge(texts: list[str], seed: int, temperature: float = 1.0) -> tuple[list[Sampled], np.ndarray]:
    """Return a sample of each text and its word errors. Nothing is skipped: empty audio has every word wrong."""
    decoding = Decoding(temperature)
    requests = [loaded.request(text, voice, decoding=decoding, seed=seed + i) for i, text in enumerate(texts)]
    samples = sample(ar, requests, decoding, layout.drawable)
    level1 = [torch.from_numpy(layout.read(s.tokens).speech.levels[0]) for s in samples]
    codes = nar.complete(completer, level1, [prompt] * len(texts))
    audio = [resample(wave.numpy(), from_rate=codec.sample_rate, to_rate=16000) for wave in codec.decode(codes)]
    pairs_of_text = zip(texts, asr.transcribe(recognizer, audio), strict=True)
    return samples, np.array([compare(a, b).words.errors for a, b in pairs_of_text])


TEMPERATURES = (1.0, 0.5)
before = {t: sample_and_judge(test * args.draws, 10_000, t)[1] for t in TEMPERATURES}

# --- 4. Pairs: of two draws of one text, the one with fewer word errors is chosen. Ties teach nothing. ----------------
#        Both draws have one temperature, so that no pair can be told by it.

draws, draw_errors = zip(*(sample_and_judge(for_pairs, seed) for seed in (20_000, 30_000)), strict=True)
gaps = draw_errors[1] - draw_errors[0]  # above 0: the first draw is the better one
pairs = [i for i in range(len(for_pairs)) if gaps[i]]
chosen_samples = [draws[0 if gaps[i] > 0 else 1][i] for i in pairs]
rejected_samples = [draws[1 if gaps[i] > 0 else 0][i] for i in pairs]
print(f"{len(pairs)} pairs from {len(for_pairs) // args.draws} texts with {2 * args.draws} draws each")
if not pairs:
    raise SystemExit("no two draws differ in word errors; raise --draws")
contexts = [layout.context(for_pairs[i], voice) for i in pairs]
chosen_targets, rejected_targets = ([s.target for s in side] for side in (chosen_samples, rejected_samples))

# --- 5. DPO: L = -log sigmoid(beta * margin), where a side's log-ratio is log pi - log ref, and -----------------------
#        margin = the chosen side's log-ratio - the rejected side's.


def pair_logprobs(batch: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log pi of these pairs' chosen and rejected sides, and the chosen sides' numbers of tokens."""
    targets = [chosen_targets[i] for i in batch] + [rejected_targets[i] for i in batch]
    tokens, labels = collate([contexts[i] for i in batch] * 2, targets)  # all chosen rows, then all rejected rows
    chosen, rejected = sequence_logprobs(next_token_logits(ar, tokens), labels).chunk(2)
    return chosen, rejected, (labels != IGNORE).sum(dim=1)[: len(batch)]


with torch.no_grad():  # the reference is the policy before the first step, so these are computed once
    reference = [pair_logprobs([i]) for i in range(len(pairs))]
optimizer = torch.optim.AdamW(ar.parameters(), lr=1e-4)
for step in range(args.dpo_steps):
    batch = random.sample(range(len(pairs)), min(16, len(pairs)))
    chosen, rejected, lengths = pair_logprobs(batch)
    logprobs = PairLogprobs(
        chosen=chosen,
        rejected=rejected,
        reference_chosen=torch.cat([reference[i][0] for i in batch]),
        reference_rejected=torch.cat([reference[i][1] for i in batch]),
    )
    nll = -chosen / lengths  # DPO alone may lower both sides; this term holds the chosen one up
    loss = (dpo_loss(logprobs, beta=0.1) + nll).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 5 == 0 or step == args.dpo_steps - 1:
        print(f"step {step + 1}: DPO + NLL {loss.item():.3f}, margin {logprobs.margin.mean().item():.2f} nats")

# --- 6. Evaluate on the same texts with the same seeds, so that the comparison is paired. -----------------------------

after = {t: sample_and_judge(test * args.draws, 10_000, t)[1] for t in TEMPERATURES}
# Draws of one text are not independent, so the interval resamples texts, and a text's draws are summed first.
of_text = list(range(len(test))) * args.draws
words = np.array([len(text.split()) for text in test * args.draws])
print(f"\n{'temperature':<13}{'before':>8}{'after DPO':>11}    WER of {len(test)} texts, draws per text: {args.draws}")
for t in TEMPERATURES:
    print(f"{t:<13}{before[t].sum() / words.sum():>8.1%}{after[t].sum() / words.sum():>11.1%}")
best_before, best_after = (min(errors.values(), key=np.sum) for errors in (before, after))
change = paired_interval(best_before, best_after, words, words, texts=of_text)  # the pipeline chooses on other texts
print(f"change at each one's better temperature {100 * change.value:+.1f} points, ", end="")
print(f"95 % interval [{100 * change.low:+.1f}, {100 * change.high:+.1f}]")
print(f"the interval {'excludes' if change.excludes_zero else 'includes'} zero: ", end="")
print("a significant change" if change.excludes_zero else "no significant change")
