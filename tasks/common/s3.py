"""A folder or file on S3: fetched once into a cache on this machine, every file checked.

Credentials, region and endpoint come from where boto3 looks for them (``AWS_PROFILE``, ``AWS_ACCESS_KEY_ID``,
``AWS_ENDPOINT_URL_S3`` and so on). The cache is ``~/.cache/speechalign``, or the folder in ``SPEECHALIGN_CACHE``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from tasks.common.files import DataError, atomic_path
from tasks.common.ordered import ordered
from tasks.common.progress import Bar

ATTEMPTS = 5
CONNECTIONS = 8
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
LISTING = {"Name", "Contents", "KeyCount", "Prefix", "IsTruncated"}  # some of it is in every answer of an S3
_CHUNK = 1 << 20  # bytes
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Remote:
    """One object of the corpus as the bucket lists it; ``name`` is relative to the corpus folder."""

    key: str
    name: str
    size: int
    etag: str


def fetch(uri: str) -> Path:
    """Fetch ``s3://bucket/prefix`` into the cache and return its folder.

    A verified file that has not changed on either side is not fetched again. A file that is gone from the bucket is
    removed.

    Raises:
        DataError: no credentials, no such bucket, nothing under the prefix, a key that would leave the folder, or a
            file that stayed wrong or unreachable through all attempts.
    """
    bucket, prefix = _parse(uri)
    try:
        client = _client()
        objects = list_objects(client, bucket, prefix)
        folder = _cache_folder(client.meta.endpoint_url, bucket, prefix)
        _download(client, bucket, objects, folder)
    except (ClientError, BotoCoreError) as error:
        raise DataError(_explain(error, uri, bucket)) from error
    return folder / "files"


def fetch_file(uri: str) -> Path:
    """Fetch the one object ``s3://bucket/key`` into the cache and return its file.

    Raises:
        DataError: as for :func:`fetch`, or there is no such object.
    """
    bucket, key = _parse(uri)
    name = key.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise DataError(f"{uri!r} names no file; expected s3://bucket/folder/file")
    try:
        client = _client()
        try:
            found = client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                raise DataError(f"{uri} does not exist; check the location and AWS_ENDPOINT_URL_S3") from error
            raise
        if "ETag" not in found:
            raise DataError(f"{uri}: {client.meta.endpoint_url} answers, but not as an S3 does; check the endpoint")
        remote = Remote(key, name, found["ContentLength"], found["ETag"].strip('"'))
        folder = _cache_folder(client.meta.endpoint_url, bucket, key)
        _download(client, bucket, [remote], folder)
    except (ClientError, BotoCoreError) as error:
        raise DataError(_explain(error, uri, bucket)) from error
    return folder / "files" / name


def _client() -> Any:
    """Return a client of the endpoint that the environment names.

    Raises:
        DataError: what it names is no address.
    """
    try:
        return boto3.Session().client("s3", config=Config(retries={"mode": "standard", "max_attempts": ATTEMPTS}))
    except ValueError as error:  # as boto3 refuses an address without http://
        name = next((name for name in ENDPOINT_VARIABLES if os.environ.get(name)), ENDPOINT_VARIABLES[0])
        raise DataError(
            f"{name} is {os.environ.get(name, '')!r}, which is not an S3 endpoint ({error}); expected an "
            "address such as http://localhost:9000"
        ) from error


def list_objects(client: Any, bucket: str, prefix: str) -> list[Remote]:
    """Return all objects under the prefix, taken as a folder.

    Raises:
        DataError: there are none, a key would be written outside the corpus folder or be a file and a folder at once,
            or the answer is not an S3's.
    """
    start = f"{prefix}/" if prefix else ""
    objects: dict[str, Remote] = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start):
        if not LISTING & page.keys():
            raise DataError(
                f"s3://{bucket}/{start}: {client.meta.endpoint_url} answers, but not as an S3 does (a web page "
                f"perhaps); check {' or '.join(ENDPOINT_VARIABLES)}"
            )
        for entry in page.get("Contents", []):
            if not entry.keys() >= {"Key", "Size", "ETag"}:
                raise DataError(
                    f"s3://{bucket}/{entry.get('Key', start)}: {client.meta.endpoint_url} lists it without a size or "
                    f"an ETag, as no S3 does; check {' or '.join(ENDPOINT_VARIABLES)}"
                )
            name = entry["Key"][len(start) :]
            if not name or name.endswith("/"):  # a console's marker of an empty folder
                continue
            if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or "\0" in name:
                raise DataError(
                    f"s3://{bucket}/{entry['Key']} would leave the corpus folder; "
                    "expected keys of plain names between slashes"
                )
            objects[name] = Remote(entry["Key"], name, entry["Size"], entry["ETag"].strip('"'))
    if not objects:
        raise DataError(f"s3://{bucket}/{start} holds no objects; check the location (for the corpus: prepare.path)")
    return _without_folders(bucket, list(objects.values()))


def _without_folders(bucket: str, objects: list[Remote]) -> list[Remote]:
    """Leave out empty objects that stand for a folder: on a disk a name can't be a file and a folder.

    Raises:
        DataError: such an object is not empty.
    """
    folders = {"/".join(parts[:n]) for o in objects for parts in [o.name.split("/")] for n in range(1, len(parts))}
    for remote in objects:
        if remote.name in folders and remote.size:
            raise DataError(
                f"s3://{bucket}/{remote.key} has {remote.size} bytes and other objects below it, which no disk can "
                "hold; rename it"
            )
    return [remote for remote in objects if remote.name not in folders]


def _parse(uri: str) -> tuple[str, str]:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise DataError(f"{uri!r} is not an S3 location; expected s3://bucket/prefix")
    return bucket, prefix.strip("/")


def _cache_folder(endpoint: str, bucket: str, prefix: str) -> Path:
    cache = Path(os.environ.get("SPEECHALIGN_CACHE") or Path.home() / ".cache" / "speechalign")
    digest = hashlib.sha256(f"{endpoint} {bucket} {prefix}".encode()).hexdigest()[:12]
    return cache / "s3" / f"{bucket}-{digest}"


def _download(client: Any, bucket: str, objects: list[Remote], folder: Path) -> None:
    files, index = folder / "files", folder / "verified.jsonl"
    files.mkdir(parents=True, exist_ok=True)
    verified = _read_index(index)
    names = {o.name for o in objects}
    for path in sorted(files.rglob("*")):
        if path.is_file() and path.relative_to(files).as_posix() not in names:
            path.unlink()  # gone from the bucket, or half of an interrupted download
    missing = [o for o in objects if o.name not in verified or verified[o.name] != _state(o, files / o.name)]
    with (
        Bar(f"fetch s3://{bucket}", len(objects)) as bar,
        ThreadPoolExecutor(CONNECTIONS) as pool,
        index.open("a", encoding="utf-8") as lines,
    ):
        bar.advance(len(objects) - len(missing))
        for remote, result in ordered(pool, partial(_fetch_one, client, bucket, files), missing, 4 * CONNECTIONS):
            result()
            lines.write(json.dumps({"name": remote.name, "state": _state(remote, files / remote.name)}) + "\n")
            lines.flush()
            bar.advance()
    if lost := [o.key for o in objects if not (files / o.name).is_file()]:
        raise DataError(f"s3://{bucket}/{lost[0]} was fetched and is gone again ({len(lost)} such files); run again")


def _fetch_one(client: Any, bucket: str, folder: Path, remote: Remote) -> None:
    """Stream one object through a temporary sibling. botocore retries the request but not the stream."""
    path, problem = folder / remote.name, Exception()
    for attempt in range(ATTEMPTS):
        time.sleep(attempt and 0.1 * 2**attempt)
        try:
            with atomic_path(path) as temporary:
                _stream(client, bucket, remote, temporary)
            return
        except (BotoCoreError, ConnectionError, TimeoutError, _DamagedError) as error:
            problem = error
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) < 500:
                raise DataError(_explain(error, f"s3://{bucket}/{remote.key}", bucket)) from error
            problem = error
        except OSError as error:
            raise DataError(f"cannot write {path} for s3://{bucket}/{remote.key}: {error}") from error
    raise DataError(f"s3://{bucket}/{remote.key} could not be fetched in {ATTEMPTS} attempts: {problem}")


class _DamagedError(Exception):
    pass


def _stream(client: Any, bucket: str, remote: Remote, path: Path) -> None:
    # With ChecksumMode botocore itself compares the object's x-amz-checksum, where it has one, while it is read.
    answer = client.get_object(Bucket=bucket, Key=remote.key, IfMatch=remote.etag, ChecksumMode="ENABLED")
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with path.open("wb") as file:
        for chunk in answer["Body"].iter_chunks(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    if size != remote.size:
        raise _DamagedError(f"expected {remote.size} bytes, found {size}")
    # The ETag is the content's MD5 unless it was uploaded in parts (then it has a dash) or encrypted with a KMS key.
    plain = answer.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in answer
    if plain and _MD5.fullmatch(remote.etag) and digest.hexdigest() != remote.etag:
        raise _DamagedError(f"expected MD5 {remote.etag}, found {digest.hexdigest()}")


def _state(remote: Remote, path: Path) -> list[Any] | None:
    """Return the facts that change if the object or its file does; None if there is no file."""
    if not path.is_file():
        return None
    stat = path.stat()
    return [remote.etag, remote.size, stat.st_size, stat.st_mtime_ns]


def _read_index(path: Path) -> dict[str, list[Any]]:
    verified = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                verified[entry["name"]] = entry["state"]
            except (ValueError, KeyError, TypeError):
                continue  # the last line of a killed run: that file is fetched again
    return verified


def _explain(error: ClientError | BotoCoreError, uri: str, bucket: str) -> str:
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        return f"no AWS credentials for {uri} ({error}); set {keys}"
    code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
    if code == "NoSuchBucket":
        return f"{uri}: there is no bucket {bucket!r} at this endpoint; check the location and AWS_ENDPOINT_URL_S3"
    if code in ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"):
        return f"{uri}: access refused ({code}); the credentials need s3:ListBucket and s3:GetObject there"
    if code in ("PreconditionFailed", "NoSuchKey", "404"):
        return f"{uri}: an object changed while the corpus was fetched; run again"
    return f"could not read {uri}: {error}; check the location and {' or '.join(ENDPOINT_VARIABLES)}"
