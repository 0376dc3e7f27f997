"""Nothing that looks like a credential is shown."""

from __future__ import annotations

import pytest

from tasks.common import secrets
from tasks.common.stage import one_message

KEY = "AKIAIOSFODNN7EXAMPLE"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:pass@host/path", "https://host/path"),
        ("https://host/path?token=abc&x=1", "https://host/path?***"),
        ("postgresql+psycopg2://me:pass@host/db", "postgresql+psycopg2://host/db"),
        (f"s3://{KEY}:wJalrXUtn/FEMI/K7MDENG@bucket/corpus", "s3://bucket/corpus"),
        (f"s3://bucket/{KEY}/corpus", "s3://bucket/***/corpus"),
        ("sqlite:////a@b/mlflow.db", "sqlite:////a@b/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("s3://bucket/a@b/c:d", "s3://bucket/a@b/c:d"),
        ("http://host/#token=abc", "http://host/#***"),
        ("http://host/#/experiments/1", "http://host/#/experiments/1"),
        ("s3://bucket/hf_aBcDeFgHiJkLmNoPqRsTuV", "s3://bucket/***"),
        ("postgresql://u:p?a@h/db", "postgresql://h/db"),
        ("mysql://u:p#x@h/db", "mysql://h/db"),
        ("mongodb://u:p@h1:27017,h2:27017/db", "mongodb://h1:27017,h2:27017/db"),
        ("http://u:p@[::1]:80/x", "http://[::1]:80/x"),
    ],
)
def test_an_address_is_shown_without_its_credentials(uri, shown):
    assert secrets.address(uri) == shown
    assert secrets.masked(f"refused: '{uri}', try again") == f"refused: '{shown}', try again"
    assert secrets.holds_credentials(uri) == (shown != uri)


def test_values_of_variables_and_named_ones_are_masked_and_words_of_the_trade_stay(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cr3t-token")
    said = "token s3cr3t-token, password=hunter22, aws_secret_access_key: abc/def, stop token: 5, batch_tokens: 2048"
    assert secrets.masked(said) == (
        "token ***, password=***, aws_secret_access_key: ***, stop token: 5, batch_tokens: 2048"
    )


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer ***"),
        ('{"password": "hunter22", "n": 1}', '{"password": "***", "n": 1}'),
        ("X-Amz-Signature=0123456789abcdef, expired", "X-Amz-Signature=***, expired"),
        ("access_token='abc12345678'", "access_token='***'"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123 was refused", "*** was refused"),
        ("glpat-abcdefghij1234567890", "***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "***"),
        ("bearer of bad news", "bearer of bad news"),
        ("end token: <|im_end|>, stop token: 151645", "end token: <|im_end|>, stop token: 151645"),
        ("task-abcdefghijklmnopqrstuvwxyz", "task-abcdefghijklmnopqrstuvwxyz"),
        ("api_token: correcthorse", "api_token: ***"),  # no digit in it
        ("token=correcthorse", "token=***"),
        ('{"token": "correcthorse"}', '{"token": "***"}'),
        ("HF_TOKEN=abc", "HF_TOKEN=***"),
        ('password="my pass word", x', 'password="***", x'),
        ("PGPASSWORD=abc pwd=x;", "PGPASSWORD=*** pwd=***;"),
        ("client_secret=>abc", "client_secret=>***"),
        ("AccountKey=abc/def==;", "AccountKey=***;"),
        ("Cookie: session=abcdef", "Cookie: ***"),
        ("Basic dXNlcjpwYXNz", "Basic ***"),
        ("basic settings, bearer institutions", "basic settings, bearer institutions"),
        ("npm_abcdefghijklmnopqrstuvwxyz0123456789", "***"),
        ("sk_live_abcdefghijklmnop1234", "***"),
        ("eos_token: <|end|>, pad_token=<pad>, token=151645", "eos_token: <|end|>, pad_token=<pad>, token=151645"),
        ("end of a token: the sampler stops", "end of a token: the sampler stops"),
    ],
)
def test_keys_and_tokens_are_known_by_their_names_and_forms(said, shown):
    assert secrets.masked(said) == shown


def test_an_error_is_printed_without_credentials(capsys):
    with pytest.raises(SystemExit), one_message():
        raise OSError(13, "not allowed: https://me:hunter22@host/x?sig=abc")
    printed = capsys.readouterr().err
    assert "https://host/x?***" in printed and "hunter22" not in printed


def test_a_bug_keeps_its_traceback_without_credentials():
    with pytest.raises(RuntimeError) as caught, one_message():
        try:
            raise ValueError("https://me:hunter22@host")
        except ValueError as error:
            raise RuntimeError("at https://me:hunter22@host") from error
    assert "hunter22" not in str(caught.value) + str(caught.value.__cause__)


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/IBAAKCAQEA\nabcd==\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"the key {PEM} was refused", "the key *** was refused"),
        (PEM[:60], "***"),  # cut short
        (f'{{"key": "{PEM}", "n": 1}}'.replace("\n", "\\n"), '{"key": "***", "n": 1}'),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
    ],
)
def test_a_private_key_is_hidden_whole_or_cut_short(said, shown):
    assert secrets.masked(said) == shown


def test_short_values_of_variables_are_hidden_unless_they_are_ordinary_words(monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", "p4$s")
    monkeypatch.setenv("OTHER_TOKEN", "test")
    monkeypatch.setenv("DB_PASS", "hunter2x")
    said = "p4$s was refused for the test set by hunter2x, p4$sed"
    assert secrets.masked(said) == "*** was refused for the test set by ***, p4$sed"
