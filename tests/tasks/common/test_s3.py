"""Fetching a corpus from S3, against moto's server, and against one that serves damaged bytes."""

from __future__ import annotations

import hashlib
import http.server
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.common import s3 as storage
from tasks.common.files import DataError
from tests.loopback import running
from tests.s3 import S3Server

BUCKET = "speech"
Put = Callable[[str, bytes], object]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPEECHALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def put(s3_server: S3Server) -> Put:
    client = s3_server.client()
    client.create_bucket(Bucket=BUCKET)
    return lambda key, body: client.put_object(Bucket=BUCKET, Key=key, Body=body)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_all_objects_under_the_prefix_come_and_no_others(put: Put) -> None:
    put("corpus/a.wav", b"one")
    put("corpus/deep/b.wav", b"two")
    put("corpus/deep/", b"")
    put("corpus2/c.wav", b"not this")
    assert contents(storage.fetch(f"s3://{BUCKET}/corpus/")) == {"a.wav": b"one", "deep/b.wav": b"two"}


def test_bucket_without_prefix_is_a_corpus(put: Put) -> None:
    put("a.wav", b"one")
    assert contents(storage.fetch(f"s3://{BUCKET}")) == {"a.wav": b"one"}


def test_second_fetch_takes_only_what_changed(put: Put, s3_server: S3Server) -> None:
    for name in ("same", "changed", "damaged", "gone"):
        put(f"corpus/{name}", name.encode())
    folder = storage.fetch(f"s3://{BUCKET}/corpus")
    before = {p.name: p.stat().st_ino for p in folder.iterdir()}  # a fetched file is a new file
    put("corpus/changed", b"CHANGED")
    (folder / "damaged").write_bytes(b"dama")
    s3_server.client().delete_object(Bucket=BUCKET, Key="corpus/gone")
    assert storage.fetch(f"s3://{BUCKET}/corpus") == folder
    assert contents(folder) == {"same": b"same", "changed": b"CHANGED", "damaged": b"damaged"}
    after = {p.name: p.stat().st_ino for p in folder.iterdir()}
    assert after["same"] == before["same"]


def test_object_uploaded_in_parts_is_fetched(put: Put, s3_server: S3Server) -> None:
    """Its ETag is no MD5."""
    client, body = s3_server.client(), b"x" * (5 << 20) + b"end"
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="corpus/big")["UploadId"]
    parts = []
    for number, part in enumerate((body[: 5 << 20], body[5 << 20 :]), 1):
        answer = client.upload_part(Bucket=BUCKET, Key="corpus/big", UploadId=upload, PartNumber=number, Body=part)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(Bucket=BUCKET, Key="corpus/big", UploadId=upload, MultipartUpload={"Parts": parts})
    assert contents(storage.fetch(f"s3://{BUCKET}/corpus")) == {"big": body}


def test_killed_fetch_goes_on_from_the_whole_files(put: Put, cache: Path) -> None:
    put("corpus/a", b"one")
    put("corpus/b", b"two")
    folder = storage.fetch(f"s3://{BUCKET}/corpus")
    (folder / "b").unlink()
    (folder / ".b.tmp").write_bytes(b"t")  # what a kill leaves
    index = folder.parent / "verified.jsonl"
    index.write_text(index.read_text() + '{"name": "b", "sta')
    inode = (folder / "a").stat().st_ino
    assert contents(storage.fetch(f"s3://{BUCKET}/corpus")) == {"a": b"one", "b": b"two"}
    assert (folder / "a").stat().st_ino == inode


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://nowhere/corpus", "no bucket 'nowhere'"),
        (f"s3://{BUCKET}/empty", "holds no objects"),
        ("s3:///corpus", "expected s3://bucket/prefix"),
    ],
)
def test_wrong_place_is_one_clear_message(put: Put, uri: str, message: str) -> None:
    put("corpus/a", b"one")
    with pytest.raises(DataError, match=message):
        storage.fetch(uri)


def test_without_credentials_the_message_says_what_to_set(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DataError, match="AWS_PROFILE"):
        storage.fetch(f"s3://{BUCKET}/corpus")


def test_unreachable_server_is_one_clear_message(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setattr(storage, "ATTEMPTS", 2)  # botocore waits longer each time
    with pytest.raises(DataError, match="could not read s3://speech/corpus"):
        storage.fetch("s3://speech/corpus")


class Faulty:
    """An S3 that lists objects and answers a request for one with what comes next in ``answers``."""

    def __init__(self) -> None:
        self.listed: dict[str, bytes] = {}
        self.answers: dict[str, list[bytes]] = {}
        self.requests = 0
        self.cut: dict[str, int] = {}  # how many answers break off, by key
        self.page = b""  # answered to every request
        self.listing = b""  # answered to a request for a list


@pytest.fixture
def faulty(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    state = Faulty()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if state.page:
                self.answer(state.page)
                return
            if state.listing and "list-type=2" in query:
                self.answer(state.listing)
                return
            if "list-type=2" in query:
                entries = "".join(
                    f"<Contents><Key>{key}</Key><Size>{len(body)}</Size>"
                    f"<ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag></Contents>"
                    for key, body in state.listed.items()
                )
                self.answer(f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode())
                return
            state.requests += 1
            key = path.split("/", 2)[2]
            queue = state.answers[key]
            state.cut[key] = state.cut.get(key, 0) - 1
            self.answer(queue.pop(0) if len(queue) > 1 else queue[0], state.cut[key] >= 0)

        def answer(self, body: bytes, cut: bool = False) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with running(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        yield state


def test_damaged_transfer_is_repeated(faulty: Faulty) -> None:
    faulty.listed = {"corpus/a": b"right"}
    faulty.answers = {"corpus/a": [b"wrong", b"rig", b"right"]}
    assert contents(storage.fetch("s3://speech/corpus")) == {"a": b"right"}
    assert faulty.requests == 3


def test_a_body_that_is_cut_short_is_asked_for_again(faulty: Faulty) -> None:
    bodies = {f"corpus/{name}": name.encode() * 300_000 for name in "abc"}
    faulty.listed, faulty.answers = bodies, {key: [body] for key, body in bodies.items()}
    faulty.cut = {"corpus/b": 2}
    assert contents(storage.fetch("s3://speech/corpus")) == {key[-1]: body for key, body in bodies.items()}
    assert faulty.requests == 5
    faulty.listed = {"corpus/d": b"whole"}
    faulty.answers = {"corpus/d": [b"whole"]}
    faulty.cut = {"corpus/d": 99}
    with pytest.raises(DataError, match=r"s3://speech/corpus/d could not be fetched in 5 attempts"):
        storage.fetch("s3://speech/corpus")


@pytest.mark.parametrize(
    "page", [b"<html><body>Sign in</body></html>", b"<!DOCTYPE html><html><p>Hello<br></html>", b"{}", b"x"]
)
def test_an_answer_that_is_no_s3s_names_the_endpoint(
    faulty: Faulty, monkeypatch: pytest.MonkeyPatch, page: bytes
) -> None:
    monkeypatch.setattr(storage, "ATTEMPTS", 1)  # botocore waits longer each time
    faulty.page = page
    with pytest.raises(DataError, match=r"AWS_ENDPOINT_URL_S3"):
        storage.fetch("s3://speech/corpus")


@pytest.mark.parametrize("lacking", [b"<Size>1</Size>", b"<ETag>1</ETag>"])
def test_a_listing_that_is_no_s3s_names_the_endpoint(faulty: Faulty, lacking: bytes) -> None:
    entry = b"<Contents><Key>corpus/a</Key><Size>1</Size><ETag>1</ETag></Contents>".replace(lacking, b"")
    faulty.page = b"<ListBucketResult><KeyCount>1</KeyCount>" + entry + b"</ListBucketResult>"
    with pytest.raises(DataError, match=r"corpus/a: .* without a size or an ETag.*AWS_ENDPOINT_URL_S3"):
        storage.fetch("s3://speech/corpus")


def test_an_object_that_is_listed_twice_is_fetched_once(faulty: Faulty) -> None:
    entry = f"<Contents><Key>corpus/a</Key><Size>5</Size><ETag>{hashlib.md5(b'right').hexdigest()}</ETag></Contents>"
    faulty.listing = f"<ListBucketResult>{entry * 3}</ListBucketResult>".encode()
    faulty.answers = {"corpus/a": [b"right"]}
    assert contents(storage.fetch("s3://speech/corpus")) == {"a": b"right"}
    assert faulty.requests == 1


def test_an_endpoint_without_http_names_the_variable(monkeypatch: pytest.MonkeyPatch, s3_server: S3Server) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "localhost:9000")
    for fetch in (storage.fetch, storage.fetch_file):
        with pytest.raises(DataError, match=r"AWS_ENDPOINT_URL_S3 is 'localhost:9000'.*http://localhost:9000"):
            fetch("s3://speech/corpus")


def test_an_empty_object_that_stands_for_a_folder_takes_no_files_place(put: Put) -> None:
    put("corpus/wavs", b"")
    for i in range(12):
        put(f"corpus/wavs/{i}.wav", b"sound")
    for _ in range(3):
        assert len(contents(storage.fetch(f"s3://{BUCKET}/corpus"))) == 12
    put("corpus/wavs", b"a file")
    with pytest.raises(DataError, match=r"s3://speech/corpus/wavs has 6 bytes and other objects below it"):
        storage.fetch(f"s3://{BUCKET}/corpus")


def test_lasting_damage_is_an_error_and_leaves_no_file(faulty: Faulty, cache: Path) -> None:
    faulty.listed = {"corpus/a": b"right"}
    faulty.answers = {"corpus/a": [b"wrong"]}
    with pytest.raises(DataError, match=r"in 5 attempts: expected MD5 .*, found"):
        storage.fetch("s3://speech/corpus")
    assert not [p for p in cache.rglob("*") if p.name in ("a", ".a.tmp")]


@pytest.mark.parametrize("key", ["corpus/../../evil", "corpus//etc/evil", "corpus/a/../b", "corpus/..\\evil"])
def test_key_that_would_leave_the_folder_is_refused(faulty: Faulty, cache: Path, key: str) -> None:
    faulty.listed = {key: b"x"}
    with pytest.raises(DataError, match="would leave the corpus folder"):
        storage.fetch("s3://speech/corpus")
    assert faulty.requests == 0 and not cache.exists()
