"""What the server counts, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """One registry per server, so that two in one process keep apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter("requests", "Answers to /v1/audio/speech, by HTTP status", ["status"])
        self.broken = self._counter("broken_answers", "Answers that ended before their last byte")
        self.seconds = self._histogram("request_seconds", "From a request's last byte to its answer's last")
        self.waited = self._histogram("queue_seconds", "From the queue's end to a worker")
        self.audio = self._counter("audio_seconds", "Seconds of speech made")
        self.restarts = self._counter("worker_restarts", "Workers started after one ended or took too long")
        self.moves = self._counter("champion_moves", "Times that another version took over")
        self.version = self._gauge("version", "Version that is served")
        self.waiting = self._gauge("waiting", "Requests in the queue")
        self.workers = self._gauge("workers", "Workers of the present version that run")
        self.memory = self._gauge("worker_memory_bytes", "Resident memory of all workers")
        self.registry_up = self._gauge("registry_up", "1 if the registry answered last time")

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(f"speechalign_{name}", text, labels or [], registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"speechalign_{name}", text, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"speechalign_{name}", text, registry=self.registry, buckets=SECONDS)
