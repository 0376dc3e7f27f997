"""A listening test as a web page that several raters use at once; each vote is on disk before it is acknowledged.

The page and the votes are for the raters of one test: without a token only this machine reaches them, with one only who
has the link. The token stands behind the ``#`` of the link, which browsers send to no server; the page sends it as a
header. There are no cookies, so another site cannot act for a rater.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import anyio.to_thread
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tasks.prefer.votes import export, names
from tasks.prefer.votes.guard import Guard
from tasks.prefer.votes.key import Key
from tasks.prefer.votes.result import counted, preferences, tally
from tasks.prefer.votes.returned import Cast, parse
from tasks.prefer.votes.stopping import read
from tasks.prefer.votes.store import Kept, Moved, Refused, Store

LARGEST_BODY = 4096  # bytes: a vote has less than 500


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


T = TypeVar("T", bound=_Body)


def _name(given: str) -> str:
    """Return a rater's name as it is kept.

    Raises:
        ValueError: nobody can be called so.
    """
    if wrong := names.problem(given):
        raise ValueError(wrong)
    return names.shown(given)


Name = Annotated[str, AfterValidator(_name)]
Secret = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Rating = Annotated[int, Field(ge=1, le=5)]


class Begin(_Body):
    rater: Name
    key: Secret


class Voted(Begin):
    trial: Annotated[str, Field(pattern=r"^[0-9]{3,5}$")]
    choice: Literal["A", "B", "tie"]
    flipped: bool
    seconds: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
    revision: Annotated[int, Field(ge=1, le=1000)]
    quality: Annotated[list[Rating], Field(min_length=2, max_length=2)] | None = None
    similarity: Annotated[list[Rating], Field(min_length=2, max_length=2)] | None = None


class Test:
    """One served test: its key, its votes on disk, and whether enough are in.

    Args:
        per_rater: pairs that each rater gets; None: all. stop: end once the stopping rule has decided.
        tell: gets a line about the state whenever it changes.
    """

    __test__ = False  # no test of pytest

    def __init__(self, folder: Path, key: Key, per_rater: int | None, stop: bool, tell: Callable[[str], None]) -> None:
        self.folder, self.key, self._per_rater, self._stop, self._tell = folder, key, per_rater, stop, tell
        self.store = Store(folder / "votes.jsonl", key, self._assign)
        self._state = threading.Lock()
        self.enough = False
        self._told = ""
        self.update()

    def _assign(self, kept: Kept) -> list[str]:
        """Return trials for a new rater: practice, checks, and the pairs that the fewest raters have."""
        others = [trial.trial for trial in self.key.trials if trial.role != "pair"]
        pairs = [trial.trial for trial in self.key.trials if trial.role == "pair"]
        given = Counter(trial for rater in kept.raters.values() for trial in rater["trials"])
        rng = secrets.SystemRandom()
        drawn = sorted(rng.sample(pairs, len(pairs)), key=lambda trial: given[trial])
        return sorted(others + drawn[: self._per_rater])

    def cast(self) -> list[Cast]:
        """Return the votes so far."""
        parsed = [parse(vote, self.key, "votes.jsonl") for vote in self.store.kept.votes]
        return [vote for vote in parsed if isinstance(vote, Cast)]

    def update(self) -> None:
        """Read the stopping rule."""
        with self._state:
            cast = self.cast()
            kept, raters, left_out = counted(cast, self.key)
            state = tally(kept, raters, left_out)
            if left_out and kept:
                state += f", {len(left_out)} left out"
            if self.key.systems and kept and (reading := read(preferences(kept, self.key))).preferred:
                system = self.key.systems[reading.preferred == "B"]
                state += f"; {system} is preferred: {reading.decided_after} votes suffice"
                self.enough = self._stop
            if state != self._told and (len(kept) % 10 == 0 or "suffice" in state):
                self._tell(state)
                self._told = state


def app(test: Test, token: str = "", hosts: tuple[str, ...] = ()) -> Starlette:
    """Return the web application.

    Args:
        token: what the header ``X-Votes-Token`` must say; "": nothing, which needs ``hosts``.
        hosts: names by which a browser may call this server; none: any, which needs a token.

    Raises:
        ValueError: neither a token nor names.
    """
    page = export.page(test.key)
    if not token and not hosts:
        raise ValueError("a server without a token must be limited to the names of this machine")

    async def index(_: Request) -> Response:
        return HTMLResponse(page)

    async def begin(request: Request) -> Response:
        body = await _body(request, Begin)
        folded = names.folded(body.rater)
        trials, votes = await anyio.to_thread.run_sync(test.store.begin, body.rater, folded, body.key)
        shown = [export.shown(test.key.by_trial[trial]) for trial in trials]
        before = {trial: _answer(vote) for trial, vote in votes.items()}
        return JSONResponse({"trials": shown, "votes": before, "enough": test.enough})

    async def vote(request: Request) -> Response:
        body = await _body(request, Voted)
        sent = body.model_dump(exclude={"rater", "key"}, exclude_none=True)
        if isinstance(problem := parse({**sent, "test": test.key.test, "rater": body.rater}, test.key, ""), str):
            raise Refused(422, problem)
        if any(getattr(body, scale) is None for scale in test.key.scales):
            raise Refused(422, f"expected ratings of {' and '.join(test.key.scales)}")
        if await anyio.to_thread.run_sync(test.store.vote, names.folded(body.rater), body.key, sent):
            await anyio.to_thread.run_sync(test.update)
        return JSONResponse({"saved": True, "enough": test.enough})

    async def sound(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in test.key.sounds:  # so no name leads out of the folder
            raise Refused(404, "there is no such sound")
        return FileResponse(test.folder / name, media_type="audio/flac")

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return JSONResponse({"error": str(error)}, error.status)

    async def not_saved(_: Request, error: Exception) -> Response:
        test._tell(f"error: a vote could not be written: {error}")
        moved = isinstance(error, Moved)
        told = "the server's file of votes was moved" if moved else "the server cannot write to its disk"
        return JSONResponse({"error": told}, 503)

    routes = [
        Route("/", index),
        Route("/api/begin", begin, methods=["POST"]),
        Route("/api/vote", vote, methods=["POST"]),
        Route("/api/sound/{name}", sound),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        test.store.close()

    handlers: dict[Any, Any] = {Refused: refused, OSError: not_saved}
    served = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    served.add_middleware(Guard, token=token, hosts=hosts)
    return served


def _answer(vote: dict[str, Any]) -> dict[str, Any]:
    return {name: vote[name] for name in Voted.model_fields if name in vote and name not in ("rater", "key", "trial")}


async def _body(request: Request, kind: type[T]) -> T:
    """Return the checked body of a request.

    Raises:
        Refused: no JSON, too large, or not what is expected.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "expected application/json")
    content = b""
    try:
        async for part in request.stream():
            content += part
            if len(content) > LARGEST_BODY:
                raise Refused(413, f"expected at most {LARGEST_BODY} bytes")
    except ClientDisconnect:
        raise Refused(400, "the request ended early") from None
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "value_error":  # in words of our own
            raise Refused(422, first["msg"].removeprefix("Value error, ")) from None
        raise Refused(422, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from None
