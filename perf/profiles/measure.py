"""Trials with a TRex server, for MLRsearch: packets out of one port, back by the other."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from MLRsearch import AbstractMeasurer, MeasurementResult

# Between the last packet sent and the count of those received: more than any queue holds.
SETTLE_SECONDS = 1.0
# VTEPs introduce themselves for so long, so that a question a second is met.
INTRODUCE_SECONDS = 3
# Sessions are opened at this rate, packets a second, before what needs them.
OPEN_RATE = 200_000


class Api:
    """The REST API of the box under test."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def call(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self.url}{path}", body, self.headers)
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def load(self, transactions: list[bytes]) -> None:
        """Each is forwarded by when it is answered."""
        for transaction in transactions:
            self.call("/v1/transaction", transaction)

    def drops(self) -> dict[str, int]:
        """Packets by reason."""
        return {drop["reason"]: drop["packets"] for drop in self.call("/v1/drops")["items"]}

    def wait_until_healthy(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=5):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


@dataclass(frozen=True)
class Ports:
    """Of the TRex server: which is wired to the underlay's device, and which to the access device."""

    access: int = 0
    underlay: int = 1

    def both(self) -> list[int]:
        return [self.underlay, self.access]

    def at(self, side: str) -> int:
        return self.underlay if side == "underlay" else self.access

    def opposite(self, port: int) -> int:
        return self.access if port == self.underlay else self.underlay


@dataclass
class Trex(AbstractMeasurer):
    """One workload on a server. Loads are packets a second of each port that sends.

    `streams` are by port; `copies` come out for each packet that goes in.
    """

    client: Any
    ports: Ports
    streams: dict[int, list[Any]]
    copies: int = 1
    before_trial: str | None = None
    api: Api | None = None
    report: Callable[[str], None] = print
    introduce: list[Any] = field(default_factory=list)
    opening: dict[int, list[Any]] = field(default_factory=dict)
    opening_flows: int = 0
    settle_seconds: float = SETTLE_SECONDS

    def prepare(self) -> None:
        """Makes the VTEPs known and opens sessions, after every start of the box."""
        self.client.reset(ports=self.ports.both())
        self.client.set_port_attr(ports=self.ports.both(), promiscuous=True)
        if self.introduce:
            self.send({self.ports.underlay: self.introduce}, None, INTRODUCE_SECONDS)
        if self.opening:
            # Two rounds: a packet that is lost in the first one may be the only one of its session.
            self.send(self.opening, OPEN_RATE, 2 * self.opening_flows / OPEN_RATE + 1)
        self.add(self.streams)

    def send(self, streams: dict[int, list[Any]], rate: float | None, seconds: float) -> None:
        self.add(streams)
        self.start(list(streams), rate, seconds)

    def add(self, streams: dict[int, list[Any]]) -> None:
        self.client.remove_all_streams(ports=self.ports.both())
        for port, some in streams.items():
            self.client.add_streams(some, ports=[port])

    def start(self, senders: list[int], rate: float | None, seconds: float) -> None:
        multiplier = "1" if rate is None else f"{rate:.3f}pps"
        self.client.start(ports=senders, mult=multiplier, duration=seconds, force=True)
        self.client.wait_on_traffic(ports=senders, timeout=seconds + 60)
        time.sleep(self.settle_seconds)

    def measure(self, intended_duration: float, intended_load: float) -> MeasurementResult:
        """A trial."""
        if self.before_trial:
            subprocess.run(self.before_trial, shell=True, check=True)
            if self.api:
                self.api.wait_until_healthy()
            self.prepare()
        self.client.clear_stats(ports=self.ports.both())
        senders = list(self.streams)
        self.start(senders, intended_load, intended_duration)
        stats = self.client.get_stats(ports=self.ports.both())
        sent = sum(stats[port]["opackets"] for port in senders)
        # The box's own questions (ARP) count, too: a few packets a second, which can hide as many losses. Its counters
        # of drops cannot.
        received = sum(stats[self.ports.opposite(port)]["ipackets"] for port in senders) // self.copies
        result = MeasurementResult(
            intended_duration=intended_duration,
            intended_load=intended_load,
            offered_count=sent,
            forwarding_count=min(received, sent),
            intended_count=round(intended_duration * intended_load) * len(senders),
        )
        lost = f"{result.loss_count:,} of {sent:,} lost"
        self.report(
            f"{intended_load / 1e6:9.4f} Mpps for {intended_duration:5.1f} s: {lost}, {result.unsent_count:,} unsent"
        )
        return result
