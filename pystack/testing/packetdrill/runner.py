"""Runs a script against a bench: by default a stack in virtual time."""

from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import NoReturn, Self

from attrs import define, evolve, field

from pystack.errors import DecodeError
from pystack.stack.operation import Operation
from pystack.testing.packetdrill.bench import START, Bench, MakeBench, StackBench
from pystack.testing.packetdrill.code import run_code
from pystack.testing.packetdrill.constants import errno_name
from pystack.testing.packetdrill.descriptors import Answer
from pystack.testing.packetdrill.flows import Flows
from pystack.testing.packetdrill.matching import as_script, differences, joined, off_by
from pystack.testing.packetdrill.packets import format_packet
from pystack.testing.packetdrill.parser import parse_script
from pystack.testing.packetdrill.report import Report, ScriptFailure, seconds
from pystack.testing.packetdrill.script import (
    Call,
    Code,
    Command,
    Direction,
    Event,
    Packet,
    Script,
    ScriptError,
    ScriptUnsupported,
    TCPPacket,
    TimeKind,
)
from pystack.testing.packetdrill.sent import Sent
from pystack.testing.packetdrill.settings import Settings, apply_options
from pystack.testing.packetdrill.values import Misused, Unsupported, number
from pystack.units import SECOND, Ns

__all__ = ["run_file", "run_script"]

_PATIENCE: Ns = 10 * SECOND
"""How long after its time a packet is still waited for, so that the report can say when it came."""
_FOREVER: Ns = 24 * 3600 * SECOND


def run_script(
    source: str, *, name: str = "script", settings: Settings | None = None, bench: MakeBench = StackBench
) -> Report:
    """Run the text of a script. Raises `ScriptError` where it cannot be read, `ScriptFailure` where the host on the
    bench does something else, `ScriptUnsupported` where the script needs what is not there."""
    settings = settings or Settings()
    script = parse_script(source, name, settings.defines)
    settings, skipped = apply_options(settings, script.options, name)
    if not script.events:
        raise ScriptError(name, 1, "the script is empty")
    return _Run.begin(script, settings, skipped, bench).finish()


def run_file(path: Path, settings: Settings | None = None, bench: MakeBench = StackBench) -> Report:
    """The same for a file, whose folder is where its commands look for others."""
    settings = evolve(settings or Settings(), folder=path.parent)
    return run_script(path.read_text(encoding="utf-8"), name=str(path), settings=settings, bench=bench)


@define(eq=False)
class _Blocked:
    """A call that is under way."""

    event: Event
    call: Call
    operation: Operation[Answer]
    base: Ns
    completed: Ns | None = None


@define(eq=False)
class _Run:
    script: Script
    settings: Settings
    bench: Bench
    flows: Flows
    report: Report
    _event: Event
    _base: Ns = START
    """When the event before happened: what relative times count from."""
    _after_inbound: Ns | None = None
    """If that was an inbound packet: when the script wanted it."""
    _blocked: _Blocked | None = None
    _history: list[str] = field(factory=list)
    _names: dict[str, object] = field(factory=dict)
    """What the script's Python blocks have in common."""

    @classmethod
    def begin(cls, script: Script, settings: Settings, skipped: list[str], make: MakeBench) -> Self:
        flows = Flows(settings)
        first = takewhile(lambda action: isinstance(action, Command), (event.action for event in script.events))
        bench = make(settings, flows, [command.text for command in first if isinstance(command, Command)])
        report = Report(script.name, settings.ip_version, skipped=skipped)
        return cls(script, settings, bench, flows, report, script.events[0])

    def finish(self) -> Report:
        for event in self.script.events:
            self._event = event
            try:
                self._run(event)
            except Unsupported as error:
                raise ScriptUnsupported(self.script.name, self._event.line, str(error)) from None
            except Misused as error:
                self._fail(str(error))
            except DecodeError as error:
                self._fail(f"the stack sent a packet that is not sound: {error}")
            self._base = self._anchor(event)
            self.report.events += 1
        self._event = self.script.events[-1]
        self._finish_blocked()
        if self.settings.complete:
            self._check_nothing_left()
        self.report.duration = self.bench.now - START
        self.report.history = self._history
        return self.report

    def _run(self, event: Event) -> None:
        match event.action:
            case Packet(Direction.OUTBOUND) as packet:
                self._expect(event, packet)
            case Packet() as packet:
                self._go_to(event)
                self._inject(packet)
            case Call() as call:
                self._finish_blocked()
                self._event = event
                self._go_to(event)
                self._call(event, call)
            case Code(text):
                self._go_to(event)
                self._run_code(text)
            case Command(text):
                self._go_to(event)
                self.report.skipped += [f"line {event.line}: {each}" for each in self.bench.command(text)]

    # --- time

    def _anchor(self, event: Event) -> Ns:
        """What the next event's relative time counts from: when this one happened. Between inbound packets it is the
        script's time instead, so that a late start does not add up."""
        self._after_inbound = None
        if isinstance(event.action, Packet) and event.action.direction is Direction.INBOUND:
            self._after_inbound = self.bench.now if event.time.kind is TimeKind.ANY else self._bounds(event)[0]
        return self.bench.now

    def _bounds(self, event: Event) -> tuple[Ns, Ns]:
        """First and last moment for `event`, tolerance aside."""
        base = self._base if event.time.kind is TimeKind.RELATIVE else START
        inbound = isinstance(event.action, Packet) and event.action.direction is Direction.INBOUND
        if inbound and self._after_inbound is not None and event.time.kind is TimeKind.RELATIVE:
            base = self._after_inbound
        return base + event.time.start, base + event.time.end

    def _tolerance(self, expected: Ns) -> Ns:
        gap = expected - self._base
        return max(self.settings.tolerance, round(gap * self.settings.tolerance_percent / 100))

    def _go_to(self, event: Event) -> None:
        """Let time pass up to the moment of `event`, which must not be over."""
        if event.time.kind is TimeKind.ANY:
            return
        start, end = self._bounds(event)
        self._check_time(
            "the event", self.bench.now if self.bench.now > end else max(start, self.bench.now), start, end
        )
        self._advance(start)

    def _advance(self, until: Ns) -> None:
        self._settle()
        while self.bench.step(max(until, self.bench.now)):
            self._observe()
        self._observe()

    def _settle(self) -> None:
        """Everything that happens now, happens."""
        while self.bench.step(self.bench.now):
            self._observe()
        self._observe()

    def _observe(self) -> None:
        """After each moment in which something happened: see what was sent, and whether a blocked call can return."""
        self.bench.peer.collect(self.bench.now)
        if self._blocked is not None:
            self._blocked.operation.advance(self.bench.now)

    def _wait(self, done: Callable[[], bool], until: Ns) -> bool:
        """Let time pass until `done()`; False: it was not by `until`."""
        self._settle()
        while not done():
            moved = self.bench.step(until)
            self._observe()
            if not moved:
                return done()
        return True

    def _check_time(self, what: str, actual: Ns, start: Ns, end: Ns) -> None:
        tolerance = self._tolerance(start)
        late = off_by(actual, start, end)
        if abs(late) > tolerance:
            expected = seconds(start - START)
            if end != start:
                expected += f" to {seconds(end - START)}"
            word = "late" if late > 0 else "early"
            self._fail(
                f"timing: {what} came {seconds(abs(late))} s too {word}",
                f"expected at {expected} s, tolerance {seconds(tolerance)} s",
                f"it came at  {seconds(actual - START)} s",
            )

    # --- packets

    def _inject(self, packet: Packet) -> None:
        flow = self.flows.for_inbound(packet)
        if self.settings.fast_open_cookie:
            flow.cookies = bytes.fromhex(self.settings.fast_open_cookie), self.bench.cookie(flow)
        try:
            self.bench.peer.inject(packet, flow, self.bench.now)
        except ValueError as error:
            self._fail(f"this packet cannot be built: {error}")
        self._note(self.bench.now, format_packet(packet))
        self._settle()

    def _expect(self, event: Event, packet: Packet) -> None:
        any_time = event.time.kind is TimeKind.ANY
        start, end = self._bounds(event)
        limit = self.bench.now + _FOREVER if any_time else max(end, self.bench.now) + _PATIENCE
        if not self._wait(self._something_sent, limit):
            when = "" if any_time else f" at {seconds(start - START)} s"
            self._fail(
                "nothing was sent",
                f"expected{when}: {format_packet(packet)}",
                f"nothing by {seconds(self.bench.now - START)} s",
            )
        sent = self.bench.peer.sent.popleft()
        length = packet.body.length if isinstance(packet.body, TCPPacket) else 0
        run = joined(sent, self.bench.peer.sent, length)
        for _ in run[1:]:
            self.bench.peer.sent.popleft()
        flow = self.flows.for_outbound(sent)
        actual = as_script(run, packet, flow, self.settings)
        if actual is None:
            self._fail_on_packet("another kind of packet was sent", start, packet, sent, str(sent))
        if wrong := differences(packet, actual, strict=self.settings.strict):
            self._fail_on_packet(f"{', '.join(wrong)} not as expected", start, packet, sent, format_packet(actual))
        if not any_time:
            self._check_time("the packet", sent.time, start, end)
        self._note(sent.time, format_packet(actual))

    def _something_sent(self) -> bool:
        """Whether a packet waits that the script could mean; those of its earlier connections go unseen."""
        while self.bench.peer.sent and not self.flows.concerns(self.bench.peer.sent[0]):
            self.bench.peer.sent.popleft()
        return bool(self.bench.peer.sent)

    def _fail_on_packet(self, problem: str, start: Ns, packet: Packet, sent: Sent, actual: str) -> NoReturn:
        when = "any time  " if self._event.time.kind is TimeKind.ANY else f"{seconds(start - START)} s"
        self._fail(
            problem,
            f"expected {when}: {format_packet(packet)}",
            f"sent     {seconds(sent.time - START)} s: {actual}",
        )

    def _check_nothing_left(self) -> None:
        if self._something_sent():
            sent = self.bench.peer.sent[0]
            self._fail(
                "after the script's last event something is left that it did not expect",
                f"sent     {seconds(sent.time - START)} s: {sent}",
            )

    # --- calls

    def _call(self, event: Event, call: Call) -> None:
        started = self.bench.now
        base = self._base if event.time.kind is TimeKind.RELATIVE else START
        blocked = _Blocked(event, call, self._invoke(call), base)
        self.report.skipped += [f"line {event.line}: {each}" for each in self.bench.calls.without_effect]
        if blocked.operation.done:
            blocked.completed = started
        else:
            blocked.operation.on_done = lambda: self._completed(blocked)
        self._blocked = blocked
        self._settle()
        if event.time.until is not None:
            return
        if not self._wait(lambda: blocked.operation.done, started + _FOREVER):
            self._fail("the call does not return", "give it an end time (+0...0.5) if it is meant to block")
        self._blocked = None
        if event.time.kind is not TimeKind.ANY:
            self._check_time("the call's return", blocked.completed or started, *self._bounds(event))
        self._judge_operation(blocked)

    def _invoke(self, call: Call) -> Operation[Answer]:
        """Make the call. One that was answered at once is an operation too, done already."""
        self.bench.calls.without_effect.clear()
        try:
            outcome = self.bench.calls.invoke(call, self.bench.now)
        except OSError as error:
            failed: Operation[Answer] = Operation(lambda _: None, None)
            failed.fail(error)
            return failed
        if isinstance(outcome, Operation):
            return outcome
        answered = Operation(lambda _: outcome, None)
        answered.advance(self.bench.now)
        return answered

    def _completed(self, blocked: _Blocked) -> None:
        blocked.completed = self.bench.now

    def _finish_blocked(self) -> None:
        """The next call, and the end of the script, wait for a call that is under way."""
        blocked = self._blocked
        if blocked is None:
            return
        self._event = blocked.event
        time = blocked.event.time
        assert time.until is not None
        expected = blocked.base + time.until
        if not self._wait(lambda: blocked.operation.done, max(expected, self.bench.now) + _PATIENCE):
            self._fail(
                "the call does not return",
                f"expected at {seconds(expected - START)} s",
                f"it still blocks at {seconds(self.bench.now - START)} s",
            )
        self._blocked = None
        self._base = blocked.base + time.start
        self._check_time("the call's return", blocked.completed or self.bench.now, expected, expected)
        self._base = self.bench.now
        self._judge_operation(blocked)

    def _judge_operation(self, blocked: _Blocked) -> None:
        try:
            answer = blocked.operation.result()
        except OSError as error:
            self._judge(blocked.call, None, error)
        else:
            self._judge(blocked.call, answer, None)

    def _judge(self, call: Call, answer: Answer | None, error: OSError | None) -> None:
        """Hold a call's result against the script's."""
        expected = "?" if call.result is ... else f"{number(call.result)} {call.error or ''}".rstrip()
        if answer is not None:
            actual = str(answer.value)
        else:
            code = error.errno if error is not None else None
            actual = f"-1 {errno_name(code) if code is not None else 'EAGAIN'}"
        self._note(self.bench.now, f"{call.name}() = {actual}")
        if expected == "-1" and actual.startswith("-1 "):
            expected = actual
        if expected not in ("?", actual):
            hint = [f"({error})"] if error is not None else []
            self._fail(
                f"{call.name}() returned something else",
                f"expected {expected}",
                f"returned {actual} at {seconds(self.bench.now - START)} s",
                *hint,
            )
        if answer is not None and answer.differences:
            self._fail(
                f"{call.name}() gave something else",
                *(f"{each.what}: expected {each.expected}, got {each.actual}" for each in answer.differences),
            )

    # --- code

    def _run_code(self, text: str) -> None:
        flow = self.flows.current
        try:
            run_code(text, None if flow is None else self.bench.info(flow), self._names)
        except AssertionError as error:
            self._fail("the assertion does not hold", f"it gave: {error}" if str(error) else "")

    # --- reporting

    def _note(self, time: Ns, text: str) -> None:
        self._history.append(f"{seconds(time - START)} {text}")

    def _fail(self, problem: str, *details: str) -> NoReturn:
        told = [each for each in details if each] + [f"skipped {each}" for each in self.report.skipped]
        raise ScriptFailure(self.script.name, self._event, problem, told, self._history)
