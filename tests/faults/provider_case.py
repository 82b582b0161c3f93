"""What one generation meets at a provider that goes wrong, and the judge of what its observers are told of it."""

from dataclasses import dataclass, field
from typing import Any

from tests.upstream import Exchange, Reply

from .provider_faults import Fault, echoing
from .provider_wires import TEXT, Wire


@dataclass(frozen=True)
class Case:
    """So many times a fault, and then, if it is asked again, a whole answer."""

    what: str
    wire: Wire
    fault: Fault
    fails: int
    tries: int
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def recovers(self) -> bool:
        """The last try gets the answer."""
        return self.tries > self.fails

    @property
    def text(self) -> str:
        """What is said in all."""
        return TEXT if self.recovers or self.fault.said else ""

    def reply(self, exchange: Exchange) -> Reply:
        """The answer to the next try."""
        self.exchanges.append(exchange)
        if len(self.exchanges) > self.fails:
            return Reply(self.wire.whole, headers=echoing(exchange))
        return self.fault.reply(self.wire, exchange)

    def judge(self, events: list[dict[str, Any]]) -> None:
        """One end, with the right code; every try and why it failed; all that was said."""
        finished, shown = events[-1], f"{self.what}, {self.fails} faults in {self.tries} tries: {events}"
        assert [event for event in events if event["type"] == "finished"] == [finished], shown
        assert finished["outcome"] == ("completed" if self.recovers else "failed"), shown
        assert "".join(event["text"] for event in events if event["type"] == "text") == self.text, shown
        tries = [event for event in events if event["type"] == "attempt"]
        assert [event["n"] for event in tries] == list(range(1, self.tries + 1)), shown
        errors = [event["error"] for event in tries[1:]] + ([] if self.recovers else [finished["error"]])
        told = {(error["code"], error.get("retry_after_s")) for error in errors}
        assert told == {(self.fault.code, self.fault.retry_after_s)}, shown
