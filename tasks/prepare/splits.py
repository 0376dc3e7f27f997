"""Train, dev and test: which utterance goes where.

Dev speakers occur in train; test has seen speakers and unseen ones. A text of dev or test is in no other split.
What finds no place is rejected with the reason, so every utterance of a corpus is accounted for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from tasks.common.files import DataError
from tasks.common.rejected import Rejected


@dataclass(frozen=True)
class Utterance:
    """Facts that the split depends on; ``split`` is the corpus's own or None."""

    id: str
    speaker: str
    text: str
    split: str | None = None


Rejections = dict[str, Rejected]


def split(
    utterances: list[Utterance], n_test: int, n_dev: int, n_unseen: int, seed: int
) -> tuple[list[Utterance], Rejections]:
    """Draw the splits of a corpus (:func:`draw`) and drop what cannot be used (:func:`drop_unusable`).

    Raises:
        DataError: the corpus is too small for what is asked; the message names values that would work.
    """
    try:
        drawn, rejected = draw(utterances, n_test, n_dev, n_unseen, seed)
        usable, more = drop_unusable(drawn)
    except DataError as error:
        raise DataError(f"{error}. {_advice(utterances, n_test, n_dev, n_unseen, seed)}") from error
    return usable, rejected | more


def _advice(utterances: list[Utterance], n_test: int, n_dev: int, n_unseen: int, seed: int) -> str:
    """Return values that would work: halved until they do, the unseen speakers last, or that none would."""
    unseen = min(n_unseen, len({u.speaker for u in utterances}) // 2)
    while True:
        test, dev = n_test, n_dev
        while test or dev:
            test, dev = max(test, 2), max(dev, 2)
            try:
                drop_unusable(draw(utterances, test, dev, unseen, seed)[0])
            except DataError:
                test, dev = (test // 2, dev // 2) if test > 2 or dev > 2 else (0, 0)
            else:
                return (
                    "These values of prepare would work: "
                    f"unseen_speakers: {unseen}, test_utterances: {test}, dev_utterances: {dev}"
                )
        if not unseen:
            return "No values of prepare would work: the corpus is too small"
        unseen //= 2


def draw(
    utterances: list[Utterance], n_test: int, n_dev: int, n_unseen: int, seed: int
) -> tuple[list[Utterance], Rejections]:
    """Draw the splits of a corpus. The corpus's own split is a hint: its test and dev parts never enter train.

    If nothing of its train part is usable (an excerpt), the hints are dropped and all of the corpus is drawn from.

    Args:
        n_test: utterances of test, half of them by unseen speakers as far as those have so many.
        n_dev: utterances of dev. n_unseen: speakers to keep out of train and dev, at least.

    Raises:
        DataError: too few speakers or utterances for what is asked, with the numbers.
    """
    rng = np.random.default_rng(seed)
    rejected = Rejections()
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for u in sorted(utterances, key=lambda u: u.id):
        by_speaker[u.speaker].append(u)
    hinted = any(u.split == "train" for u in utterances)
    unseen = _unseen_speakers(by_speaker, n_unseen, hinted, rng)
    trainable: list[Utterance] = []
    for speaker in sorted(by_speaker.keys() - unseen):
        for u in by_speaker[speaker]:
            if hinted and u.split in ("dev", "test"):
                rejected[u.id] = Rejected(
                    "held out by the corpus",
                    "an utterance of its train part, or a speaker drawn for test",
                    f"its {u.split} part",
                )
            else:
                trainable.append(u)
    held_out = n_test + n_dev
    if held_out > len(trainable) // 2 + sum(len(by_speaker[s]) for s in unseen):
        raise DataError(
            f"prepare.test_utterances ({n_test}) and dev_utterances ({n_dev}) ask for {held_out} of "
            f"{len(utterances)} usable utterances, {len(trainable)} of them by seen speakers, of which at least half "
            "are for train; lower them or use a larger corpus"
        )
    frequency = Counter(u.text for u in utterances)
    pool = [u for speaker in sorted(unseen) for u in by_speaker[speaker]]
    test_unseen = _choose(pool, n_test // 2, frequency, rng)
    test_seen = _choose(trainable, n_test - len(test_unseen), frequency, rng, leave=2)
    chosen = {u.id: "test" for u in test_unseen + test_seen}
    for u in pool:
        if u.id not in chosen:
            rejected[u.id] = Rejected("speaker kept out of train", "a place in test", "test is full")
    rest = _without_texts(trainable, test_unseen + test_seen, "test", chosen, rejected)
    dev = _choose(rest, n_dev, frequency, rng, leave=2)
    for name, found, wanted in (("test", len(chosen), n_test), ("dev", len(dev), n_dev)):
        if found < wanted:
            raise DataError(
                f"prepare.{name}_utterances is {wanted}, but only {found} could be chosen: every speaker needs two "
                "in a split, and two of other texts left for train; lower it or use a larger corpus"
            )
    chosen |= {u.id: "dev" for u in dev}
    train = _without_texts(rest, dev, "dev", chosen, rejected)
    chosen |= {u.id: "train" for u in train}
    return [replace(u, split=chosen[u.id]) for u in utterances if u.id in chosen], rejected


def drop_unusable(utterances: list[Utterance]) -> tuple[list[Utterance], Rejections]:
    """Drop utterances that cannot be used in their split, and return the others.

    The voice prompt is another utterance of the same speaker, so a speaker needs two utterances in a split. A dev
    speaker must occur in train.

    Raises:
        DataError: a text is in train and in a held-out split, or a split ends up empty.
    """
    shared = {u.text for u in utterances if u.split == "train"} & {u.text for u in utterances if u.split != "train"}
    if shared:
        raise DataError(f"{len(shared)} texts are in train and in a held-out split, e.g. {sorted(shared)[0]!r}")
    rejected = Rejections()
    left = utterances
    while True:
        count = Counter((u.speaker, u.split) for u in left)
        for u in left:
            if count[u.speaker, u.split] < 2:
                rejected[u.id] = Rejected(
                    "no other utterance for the voice prompt", f"two or more by {u.speaker} in {u.split}", "one"
                )
            elif u.split == "dev" and not count[u.speaker, "train"]:
                rejected[u.id] = Rejected("speaker not in train", f"train utterances of {u.speaker}", "none")
        kept = [u for u in left if u.id not in rejected]
        if len(kept) == len(left):
            break
        left = kept
    sizes = Counter(u.split for u in left)
    if empty := [split for split in ("train", "dev", "test") if not sizes[split]]:
        raise DataError(
            f"nothing usable is left for {' and '.join(empty)} of {len(utterances)} utterances: "
            "every speaker needs two or more in a split; use a larger corpus or lower what prepare holds out"
        )
    return left, rejected


def _unseen_speakers(
    by_speaker: dict[str, list[Utterance]], n: int, hinted: bool, rng: np.random.Generator
) -> set[str]:
    """Return speakers for test alone: those found only in the corpus's own test part, and drawn ones up to ``n``."""
    if n == 0:
        return set()
    official = {s for s, us in by_speaker.items() if hinted and all(u.split == "test" for u in us)}
    eligible = sorted(
        s for s, us in by_speaker.items() if len(us) >= 2 and (not hinted or any(u.split == "train" for u in us))
    )
    missing = max(0, n - len(official))
    if missing and missing >= len(eligible):
        raise DataError(
            f"prepare.unseen_speakers is {n}, but the corpus has {len(by_speaker)} speakers, {len(eligible)} of them "
            "with two or more usable utterances to draw from, and at least one must stay for train; lower it"
        )
    return official | {eligible[i] for i in rng.permutation(len(eligible))[:missing]}


def _choose(
    pool: list[Utterance], n: int, frequency: Counter[str], rng: np.random.Generator, leave: int = 0
) -> list[Utterance]:
    """Choose up to ``n`` utterances, two per speaker at a time and the speakers in turn; ``leave`` of each stay.

    Rare texts first: a sentence that every speaker reads would take all of its readings out of train.
    """
    order = rng.permutation(len(pool))
    queues: dict[str, list[Utterance]] = defaultdict(list)
    for i in sorted(range(len(pool)), key=lambda i: (frequency[pool[i].text], order[i])):
        queues[pool[i].speaker].append(pool[i])
    speakers = sorted(queues)
    speakers = [speakers[i] for i in rng.permutation(len(speakers))]
    chosen: list[Utterance] = []
    while len(chosen) < n and any(len(queues[s]) >= leave + 2 for s in speakers):
        for speaker in speakers:
            if len(queues[speaker]) >= leave + 2:
                take = min(2, n - len(chosen))  # an odd number ends with the third, fifth, ... of a speaker
                chosen += queues[speaker][:take]
                del queues[speaker][:take]
    return chosen


def _without_texts(
    pool: Iterable[Utterance], held: list[Utterance], split: str, chosen: dict[str, str], rejected: Rejections
) -> list[Utterance]:
    """Return those of the pool not chosen yet, less those with a held-out text."""
    texts = {u.text for u in held}
    rest = []
    for u in pool:
        if u.id in chosen:
            continue
        if u.text in texts:
            rejected[u.id] = Rejected("text held out", f"a text that {split} does not have", repr(u.text))
        else:
            rest.append(u)
    return rest
