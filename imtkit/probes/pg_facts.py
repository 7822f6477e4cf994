"""What is known of a PostgreSQL server; measured by ``probes.postgres``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from imtkit.model.words import one_line
from imtkit.probes.tables import frame_of, seconds_text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a session could be had, after how many seconds, and what the server is.

    ``sees_all`` is whether this user sees other people's sessions (pg_monitor).
    """

    is_up: bool
    seconds: float
    version: str = ""
    is_replica: bool = False
    started_at: datetime | None = None
    user: str = ""
    database: str = ""
    sees_all: bool = False
    error: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Connections:
    """Client sessions against max_connections, of which ``reserved`` are not for ordinary users.

    A client is 'user / application / address'.
    """

    used: int
    most: int
    reserved: int
    by_state: Mapping[str, int] = field(default_factory=dict)
    by_client: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Used of those that ordinary users may have; may exceed 1."""
        return self.used / max(1, self.most - self.reserved)

    def frame(self) -> pd.DataFrame:
        """One row a client, most sessions first."""
        import pandas as pd

        ordered = sorted(self.by_client.items(), key=lambda item: (-item[1], item[0]))
        return pd.DataFrame(ordered, columns=["client", "sessions"])


@dataclass(frozen=True, slots=True)
class Session:
    """One session now. Seconds are ages; None where it is in no transaction or statement.

    ``pid`` 0 is a prepared transaction, which belongs to no process.
    """

    pid: int
    user: str
    database: str
    application: str
    client: str
    state: str
    waits_on: str
    started_at: datetime
    transaction_seconds: float | None
    state_seconds: float | None
    statement_seconds: float | None
    query: str

    @property
    def text(self) -> str:
        """Who it is and what it does, on one line."""
        name = f"pid {self.pid}" if self.pid else "no process"
        age = self.transaction_seconds
        since = f", transaction open for {seconds_text(age)}" if age is not None else ""
        who = " ".join(part for part in (self.user, self.application, self.client) if part)
        return f"{name} ({who}), {self.state}{since}: {one_line(self.query, most=80)}"


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that waits for a lock, or that others wait for; a 0 is a prepared transaction."""

    session: Session
    blocked_by: tuple[int, ...] = ()
    waits_for: str = ""
    waited_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Locks:
    """Everybody who takes part in waiting for locks."""

    holders: tuple[Holder, ...] = ()

    @property
    def waiting(self) -> tuple[Holder, ...]:
        """Those who wait, longest first."""
        waiting = [one for one in self.holders if one.blocked_by]
        return tuple(sorted(waiting, key=lambda one: -(one.waited_seconds or 0.0)))

    @property
    def roots(self) -> tuple[Holder, ...]:
        """Those who wait for nobody and keep others waiting: where a chain begins."""
        return tuple(one for one in self.holders if not one.blocked_by)

    def held_up_by(self, pid: int) -> frozenset[int]:
        """Everybody who waits for this session, at first or second hand."""
        held: set[int] = set()
        fresh = {pid}
        while fresh:
            fresh = {
                one.session.pid
                for one in self.holders
                if fresh & set(one.blocked_by) and one.session.pid not in held
            }
            held |= fresh
        return frozenset(held)

    @property
    def tree(self) -> str:
        """Who waits for whom as indented lines, a chain's root first; empty when nobody waits."""
        told: set[int] = set()
        lines: list[str] = []
        here = {one.session.pid for one in self.holders}
        for pid in sorted({pid for one in self.holders for pid in one.blocked_by} - here):
            lines.append(f"pid {pid}, gone since" if pid else "a prepared transaction")
            lines.extend(self._behind(pid, 1, told))
        for one in (*self.roots, *self.waiting):  # those who wait in a circle have no root
            lines.extend(self._lines(one, 0, told))
        return "\n".join(lines)

    def _lines(self, one: Holder, depth: int, told: set[int]) -> Iterator[str]:
        if one.session.pid in told:
            return
        told.add(one.session.pid)
        stem = "    " * (depth - 1) + "└── " if depth else ""
        waits = ""
        if one.blocked_by:
            waits = f"waits {seconds_text(one.waited_seconds or 0.0)} for {one.waits_for}: "
        yield f"{stem}{waits}{one.session.text}"
        yield from self._behind(one.session.pid, depth + 1, told)

    def _behind(self, pid: int, depth: int, told: set[int]) -> Iterator[str]:
        for one in self.waiting:
            if pid in one.blocked_by:
                yield from self._lines(one, depth, told)

    def frame(self) -> pd.DataFrame:
        """One row a session: who, blocked by whom, waiting for what, how long."""
        import pandas as pd

        table = frame_of(Session, (one.session for one in self.holders))
        extra = pd.DataFrame(
            [[one.blocked_by, one.waits_for, one.waited_seconds] for one in self.holders],
            columns=["blocked_by", "waits_for", "waited_seconds"],
        )
        return table[["pid"]].join(extra).join(table.drop(columns=["pid"]))


@dataclass(frozen=True, slots=True)
class Transactions:
    """Open transactions, oldest first."""

    sessions: tuple[Session, ...] = ()

    def frame(self) -> pd.DataFrame:
        """One row a session."""
        return frame_of(Session, self.sessions)


@dataclass(frozen=True, slots=True)
class Standby:
    """A standby as this server sees it; None where it does not say."""

    name: str
    client: str
    state: str
    sync: str
    behind_bytes: float | None
    behind_seconds: float | None


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot, and the bytes of WAL that it keeps from being removed."""

    name: str
    kind: str
    is_active: bool
    retained_bytes: float | None
    wal_status: str


@dataclass(frozen=True, slots=True)
class Replay:
    """How far this replica is behind what it received, and whether it still receives."""

    is_streaming: bool
    behind_bytes: float | None
    behind_seconds: float | None
    is_paused: bool


@dataclass(frozen=True, slots=True)
class Replication:
    """Replication from where we look; ``replay`` only on a replica."""

    is_replica: bool
    standbys: tuple[Standby, ...] = ()
    slots: tuple[Slot, ...] = ()
    replay: Replay | None = None

    def frame(self) -> pd.DataFrame:
        """One row a standby."""
        return frame_of(Standby, self.standbys)

    def slot_frame(self) -> pd.DataFrame:
        """One row a slot."""
        return frame_of(Slot, self.slots)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its row versions, estimated by the server; sizes with indexes and TOAST."""

    name: str
    bytes: int
    live: int
    dead: int
    vacuumed_at: datetime | None
    analysed_at: datetime | None
    has_autovacuum: bool

    @property
    def dead_share(self) -> float:
        """Dead of all row versions."""
        return self.dead / max(1, self.live + self.dead)


@dataclass(frozen=True, slots=True)
class Wraparound:
    """The age of a database's oldest transaction id; at about 2.1 thousand million it stops."""

    database: str
    age: int
    freeze_age: int


@dataclass(frozen=True, slots=True)
class Bloat:
    """Tables by dead rows, and databases by age."""

    tables: tuple[Table, ...] = ()
    wraparound: tuple[Wraparound, ...] = ()

    def frame(self) -> pd.DataFrame:
        """One row a table, with its share of dead rows."""
        table = frame_of(Table, self.tables)
        table.insert(4, "dead_share", [one.dead_share for one in self.tables])
        return table


@dataclass(frozen=True, slots=True)
class Statement:
    """One kind of statement since the statistics were last reset; times in seconds."""

    user: str
    database: str
    calls: int
    total_seconds: float
    mean_seconds: float
    longest_seconds: float
    rows: int
    query: str


@dataclass(frozen=True, slots=True)
class Statements:
    """What took most time, and what runs now; ``missing`` says why the first is not known."""

    slow: tuple[Statement, ...] = ()
    running: tuple[Session, ...] = ()
    missing: str = ""

    def frame(self) -> pd.DataFrame:
        """One row a kind of statement; empty when they are not recorded."""
        return frame_of(Statement, self.slow)

    def running_frame(self) -> pd.DataFrame:
        """One row a session that runs something now, longest first."""
        return frame_of(Session, self.running)
