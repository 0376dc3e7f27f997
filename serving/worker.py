"""A process that holds one registered version and synthesizes sentences: ``python -m serving.worker models:/NAME/1``.

A version brings its own copy of ``model/``, so two versions cannot share a process. A process can also be stopped when
it takes too long, and a crash costs one request.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

from serving import frames

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel


def main() -> None:
    """Load the version, report it, and answer until standard input ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process; the server ends this one when it is idle
    # The pipe gets a number of its own: what libraries print must not end up between two messages.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # oneDNN keeps a kernel per length of text; see tasks.common.runtime.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    from tasks.common.tracking.client import connect
    from tasks.register import speech

    def send(message: dict[str, Any], raw: bytes = b"") -> None:
        pipe.write(frames.pack(message, raw))
        pipe.flush()

    with speech.code_of_the_version():
        try:
            connect()
            policy = speech.load(sys.argv[1])
        except Exception as error:
            traceback.print_exc()
            send({"failed": str(error)})
            return
        send({"ready": True, "voice": policy.unwrap_python_model().config.get("voice", "audio")})
        while True:
            try:
                job, prompt = frames.read(sys.stdin.buffer)
            except frames.EndedError:
                return
            send(*_answer(policy, job, prompt))


def _answer(policy: PyFuncModel, job: dict[str, Any], prompt: bytes) -> tuple[dict[str, Any], bytes]:
    """Return one sentence's samples, or why there are none."""
    from tasks.register import speech

    number, count = job["number"], job["count"]
    try:
        voice = speech.VoiceOf(prompt or None, job["prompt_text"], job["speaker"])
        spoken = speech.synthesize(policy, job["text"], voice, job["seed"], job["temperature"])
    except ValueError as error:  # how a version refuses a text or a prompt
        return {"id": job["id"], "refused": str(error)}, b""
    except Exception as error:
        traceback.print_exc()
        return {"id": job["id"], "failed": type(error).__name__}, b""
    answer = {
        "id": job["id"],
        "rate": spoken.sample_rate,
        "finished": spoken.finished,
        "empty": not len(spoken.samples),
    }
    return answer, speech.joined(spoken, number, count).astype("<f4").tobytes()


if __name__ == "__main__":
    main()
