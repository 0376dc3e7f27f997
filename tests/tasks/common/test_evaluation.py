"""Which utterances keep their audio, and each utterance's own seed."""

from tasks.common.evaluation import audio_choice, seed_of


def test_audio_is_kept_of_seen_and_unseen_speakers():
    chosen = audio_choice([{"id": f"u{i}", "seen": i % 3 > 0} for i in range(60)], 10)
    assert len(set(chosen)) == 10
    assert sum(i % 3 == 0 for i in chosen) == 5


def test_an_utterances_seed_is_its_own():
    assert seed_of(1, "a") != seed_of(1, "b") != seed_of(2, "b")
    assert 0 <= seed_of(1, "a") < 2**62
