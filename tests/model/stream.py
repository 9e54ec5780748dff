#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A model of streaming: the kernel module's write log and dirty map, rounds, and the stream, taken through random interleavings.

It is the model of a tracker that captures writes as they are issued, of several disks with one log, and of the shipper that follows
the log and, after a gap, reads what is marked. Writes are of some sectors, are split, merged, overlap in flight and land in any order
and in parts; they fail with nothing, a part or all of them on the disk, are taken back (requeued) and issued again, perhaps with
others, or end without. The log is full now and then, is switched off and on; disks are attached with writes in flight; sessions are
lost with all that is under way in them; the shipper is killed between any two steps; source (memory and disk) and its log are put
back to an older state; the target's power is cut. STORM draws for each run how likely each of these is.

Looked at as the target takes a chunk for durable, and when the run has come to rest:
  differs   the replica is not the disk
  no rest   it does not come to rest, or no mark is good there
  marks     a mark was called good, or the end of a chunk, that is not what a power cut at that instant could have left on all the
            disks: of each sector the last completed write, or one in flight
  depends   a good one has a write, but not another that was completed before the first was submitted, on any disk
None of these may happen. Each rule of the protocol that is left out must make one of them happen, or it is listed as SPARE: then the
others do without it. ASSUMED is what the kernel has to do for us; without it all this is worth nothing.

Not modelled: hash-first rounds and verify (hashfirst.py), undo, discards, write caches, completions that are not shown.

stream.py [RUNS] [--only NAME] [--trace]
  RUNS      of the protocol, in each weather (3000); a variant ends when it is broken once for every thousand of these, or after
            VARIANT_RUNS; with fewer than SHORT those in RARE are left out
  --only    the rows whose name it is in
  --trace   shows the first run that breaks such a row, event by event
Exit 1: the protocol is broken, or a variant is not.
"""
import argparse
import copy
import random
import sys

DISKS = 2
BLOCK = 4               # sectors
SECTORS = 2 * BLOCK     # of a disk; they are numbered over all disks
ALL = DISKS * SECTORS
BLOCKS = ALL // BLOCK
LONGEST = 6             # sectors of a write
STEPS = 500             # of a run, before it is let come to rest
PATIENCE = 6000         # steps in which it must
WINDOW = 4              # chunks unacked
VARIANT_RUNS = 30000
LOG, READ, MARK, SKIP = "LOG", "READ", "MARK", "SKIP"
KINDS = ("differs", "no rest", "marks", "depends")

# Storm: how often things happen is drawn. In the others some of it is not.
STORM, SWITCHES, PLENTY, OVERFLOW, DEATHS, RETURNS, PARTS = (
    "storm", "switches", "plenty", "overflow", "deaths", "returns", "parts")
CALMLY = dict(take_back=0, end_queued=0, steal=0, strange=0, attach=0, revert=0, crash=0, fails=0, torn=0, collide=0, room=50)
WEATHERS = {
    STORM: {},
    SWITCHES: CALMLY | dict(switching=.1, attach=2, submit=3, kill=0, lose=0),             # the log goes off and on, disks come
    PLENTY: CALMLY | dict(coalesce=True, size=80, kills=0, kill=0, lose=0, verifying=0, switching=0, ship=25, submit=8),  # it all streams
    OVERFLOW: CALMLY | dict(size=14, submit=4, kills=0, kill=0, lose=0, verifying=0, switching=0),  # it streams until it cannot
    DEATHS: CALMLY | dict(kills=.2, hearing=.05, size=20),                                # the shipper's, at the worst moment
    RETURNS: dict(take_back=8, end_queued=1, steal=1, collide=.3, kill=0, revert=0, crash=0),  # requests come back
    PARTS: CALMLY | dict(collide=1, parts=.5, written=BLOCK, size=80, kill=0, lose=0, verifying=0, switching=0),  # parts of them do
}

# Rules, by what is seen without them, and in which weather if not in a storm.
NEEDED = {
    "captured before it is sent": "marks",
    "captured again when it is issued again": "differs",
    "one order over all disks": ("depends", PLENTY),
    "what is dropped is marked": "differs",
    "what is dropped is counted": "marks",
    "marked, then counted": ("marks", RETURNS),
    "counted before the probe returns": "marks",
    "a failed write is marked": "differs",
    "a failed write is counted": "marks",
    "overlapping writes are marked": "differs",
    "overlapping writes are counted": "marks",
    "so is who is not the last of them": "marks",
    "so is each part of them that is done": ("marks", PARTS),
    "who completes unknown is marked": "differs",
    "who completes unknown is counted": ("marks", RETURNS),
    "a completion of 0 bytes is marked": ("differs", RETURNS),
    "taken back is not in flight": "no rest",
    "a strange command is doubt when it ends": "differs",
    "whose copy fails is marked": "differs",
    "only what is published is read": "differs",
    "everything is marked at attach": "differs",
    "attach is counted": ("marks", SWITCHES),
    "the count before the take's first piece": "marks",
    "the sequence after the take's last piece": "differs",
    "the position after the take's last piece": "marks",
    "the fence": "differs",
    "the fence over all disks": "differs",
    "reads behind all before F": "differs",
    "clip": "differs",
    "clip by sectors": "differs",
    "clip only by what is behind F": "differs",
    "no take while a read is unacked": "differs",
    "taken outlives the shipper": "differs",
    "a mark has the count of the round": "marks",
    "a mark lies behind the last read": "marks",
    "nothing is good from a round's first read to its end": ("marks", SWITCHES),
    "log space is freed by the ack": "differs",
    "the log is folded": "differs",
    "folding is counted": ("marks", SWITCHES),
    "no coalescing over marks": ("marks", PLENTY),
    "a coalesced chunk is no prefix": ("marks", PLENTY),
    "the rewind list": "differs",
    "an ack means durable": "differs",
    "applied is what is durable": "differs",
}
# Of these, those that are rarely missed: they are left out of a short run.
RARE = ("marked, then counted", "whose copy fails is marked", "the count before the take's first piece",
        "the position after the take's last piece", "reads behind all before F", "a mark lies behind the last read",
        "nothing is good from a round's first read to its end", "folding is counted", "a coalesced chunk is no prefix",
        "what was taken back lands no more")
SHORT = 1000  # fewer runs than these
# Each alone, and why.
SPARE = {
    "the last of those that overlap is marked": "it was in flight at the take that has another one's mark: the fence waits for it",
    "a strange command is doubt when it is issued": "it is in flight then, and all is marked again when it ends",
    "without room among the requests in flight it is marked": "it is marked when it completes unknown",
    "the cookie after what it stands for": "the log is released before the blocks: so at worst blocks are read again",
    "the log is released before the blocks": "the cookie comes last: so their chunk is on the rewind list",
}
ASSUMED = {
    "what was taken back is issued again, or completes": ("differs", RETURNS),
    "what was taken back lands no more": ("marks", RETURNS),
}
# What these are for is points: how many of the module's own marks are good without them, against with them.
POINTS = {
    "a closing mark": (0, OVERFLOW),
    "its count is that before the gap": (0, OVERFLOW),
    "a record is kept free for it": (.8, OVERFLOW),
    "a take arms it again": (.9, STORM),
}


class Killed(Exception):
    """The shipper dies here, between two steps that are not one."""


# ---- the disks, and what is written to them ----


class Bio:
    """What somebody submitted, and is told of when it is done. Its number is what its sectors contain."""

    def __init__(self, number, clock, begin, end):
        self.number, self.begin, self.end = number, begin, end
        self.submitted, self.done = clock, None
        self.left, self.failed = end - begin, False


class Request:
    QUEUED, COPYING, SENT = "queued", "copying", "sent"

    def __init__(self, begin, bios, strange=False):
        self.begin, self.bios = begin, bios  # of each sector
        self.strange = strange               # a driver's command
        self.state, self.landed = self.QUEUED, {}
        self.ever = {}                       # when a sector of it last landed, however often it was sent
        self.back = None                     # when it was taken back
        self.record = None

    @property
    def end(self):
        return self.begin + len(self.bios)

    def pending(self):
        """Its content may be on the disk."""
        return self.state != self.QUEUED or self.back is not None


class Source:
    """The server without its shipper."""

    def __init__(self, run):
        self.disk = [0] * ALL
        self.settled = [(0, 0)] * ALL  # of completed writes, the one that landed last: when, content
        self.requests = []
        self.bios = {}
        self.cover = [[] for _ in range(ALL)]
        self.tracker = Tracker(run)
        self.shipper = None

    def legal(self):
        """What each sector may hold after a power cut now."""
        legal = [{content, settled[1]} for content, settled in zip(self.disk, self.settled)]
        for rq in self.requests:
            if rq.pending():
                for sector, bio in enumerate(rq.bios, rq.begin):
                    if rq.back is None or self.settled[sector][0] < rq.back:
                        legal[sector].add(bio.number)
        return legal

    def depends(self, state):
        """Has it, with whatever it has, all that was done before that was submitted?"""
        have = [self.bios.get(number) for number in set(state)]
        newest = max((bio.submitted for bio in have if bio), default=0)
        for sector, number in enumerate(state):
            bio = self.bios.get(number)
            done = 0 if not number else bio.done if bio and bio.done and not bio.failed else None
            if done is None:
                continue
            for other in self.cover[sector]:
                if other.done and not other.failed and done < other.submitted and other.done < newest:
                    return False
        return True


# ---- the tracker ----


class Record:
    def __init__(self, position, length, kind, begin, content, gap, legal):
        self.position, self.length, self.kind, self.begin, self.content = position, length, kind, begin, content
        self.gap, self.legal = gap, legal  # legal: just behind it
        self.published, self.own = kind == MARK, False

    @property
    def end(self):
        return self.begin + len(self.content)


class Flight:
    def __init__(self, rq, sequence):
        self.rq, self.sequence, self.begin, self.end = rq, sequence, rq.begin, rq.end
        self.overlapped = False


def blocks_of(begin, end):
    return range(begin // BLOCK, (end - 1) // BLOCK + 1)


def disk_of(sector):
    return sector // SECTORS


class Part:
    """Of the source: is put back with it, but not what it is run by."""

    def __deepcopy__(self, memo):
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        for name, value in self.__dict__.items():
            twin.__dict__[name] = value if name in ("rng", "run", "without") else copy.deepcopy(value, memo)
        return twin

    def rule(self, name):
        return name not in self.without


class Tracker(Part):
    def __init__(self, run):
        self.rng, self.without, self.run = run.rng, run.without, run
        self.now, self.taken, self.doubtful = set(), set(), set()
        self.flights = [{} for _ in range(DISKS)]  # by request
        self.room = run.drawn("room", (3, 50, 50)) # among them
        self.gap, self.sequence = 0, 1
        self.ring, self.size = [], run.drawn("size", (10, 20, 40, 80))
        self.head = self.tail = 1
        self.on, self.closed = True, False
        self.later = []  # what a variant does too late
        self.cookie = 0

    # -- marks and gaps --

    def count(self):
        if self.on and not self.closed:
            self.closed = True
            if self.rule("a closing mark"):
                self.mark(own=True, ahead=not self.rule("its count is that before the gap"))
        self.gap += 1

    def mark_range(self, begin, end):
        self.now.update(blocks_of(begin, end))

    def mark_gap(self, begin, end, rule=None):
        if rule and not self.rule(rule + " marked"):
            return
        counted = not rule or self.rule(rule + " counted")
        if not counted:
            self.mark_range(begin, end)
        elif not self.rule("marked, then counted") and self.rng.random() < .5:
            self.count()
            self.later.append(("mark", begin, end))
        elif not self.rule("counted before the probe returns") and self.rng.random() < .5:
            self.mark_range(begin, end)
            self.later.append(("count", 0, 0))
        else:
            self.mark_range(begin, end)
            self.count()

    def doubt(self, disk):
        self.doubtful.add(disk)
        self.count()

    def do_late(self):
        if self.later:
            what, *args = self.later.pop(0)
            if what == "mark":
                self.mark_range(*args)
            elif what == "count":
                self.count()
            else:
                self.capture(args[0])

    # -- the log --

    def reserve(self, length, kept, kind, begin, content):
        if self.head - self.tail + length + kept > self.size:
            return None
        record = Record(self.head, length, kind, begin, content, self.gap, self.run.source.legal())
        self.ring.append(record)
        self.head += length
        return record

    def mark(self, own=False, ahead=False):
        """A cut, over all disks. One's own may use the room that others have to leave."""
        record = self.reserve(1, 0 if own else self.kept(), MARK, 0, ()) if self.on else None
        if record:
            record.own, record.gap = own, record.gap + ahead
        return record

    def kept(self):
        return 1 if self.rule("a record is kept free for it") else 0

    def release(self, position):
        if position > self.tail:
            self.tail = position
            while self.ring and self.ring[0].position < position:
                self.ring.pop(0)

    # -- from the hooks --

    def capture(self, rq):
        rq.record = self.reserve(1 + (len(rq.bios) + 1) // 2, self.kept(), LOG, rq.begin, [bio.number for bio in rq.bios])
        if not rq.record:
            self.mark_gap(rq.begin, rq.end, "what is dropped is")

    def issued(self, rq, again):
        if rq.strange:
            if self.rule("a strange command is doubt when it is issued"):
                self.doubt(disk_of(rq.begin))
            return
        table = self.flights[disk_of(rq.begin)]
        sequence, self.sequence = self.sequence, self.sequence + 1
        before = table.pop(rq, None)
        if before:  # only a variant leaves it there
            self.mark_gap(before.begin, before.end)
        if len(table) < self.room:
            flight = Flight(rq, sequence)
            for other in table.values():
                if other.begin < rq.end and rq.begin < other.end:
                    flight.overlapped = other.overlapped = True
            table[rq] = flight
        elif self.rule("without room among the requests in flight it is marked"):
            self.mark_gap(rq.begin, rq.end)
        rq.record = None
        if not self.on:
            self.mark_gap(rq.begin, rq.end)
        elif again and not self.rule("captured again when it is issued again"):
            pass
        elif not self.rule("captured before it is sent") and self.rng.random() < .5:
            self.later.append(("capture", rq))
        else:
            self.capture(rq)

    def copied(self, rq, whole):
        record, rq.record = rq.record, None
        if record and not whole:
            if self.rule("whose copy fails is marked"):
                self.mark_gap(rq.begin, rq.end)
            record.kind = SKIP
        if record:
            record.published = True

    def requeued(self, rq):
        if self.rule("taken back is not in flight"):
            self.flights[disk_of(rq.begin)].pop(rq, None)

    def completed(self, rq, part, failed):
        """`part` of its sectors; what is left of the request is still named by it, this part included."""
        if rq.strange:
            if self.rule("a strange command is doubt when it ends"):
                self.doubt(disk_of(rq.begin))
            return
        table = self.flights[disk_of(rq.begin)]
        flight, last = table.get(rq), part == len(rq.bios)
        if not flight:
            if part:
                self.mark_gap(rq.begin, rq.end, "who completes unknown is")
            return
        if failed:
            self.mark_gap(flight.begin, flight.end, "a failed write is")
        elif flight.overlapped and (last or self.rule("so is each part of them that is done")) and self.tells(flight, table):
            self.mark_gap(flight.begin, flight.end, "overlapping writes are")
        elif not part and self.rule("a completion of 0 bytes is marked"):
            self.mark_gap(flight.begin, flight.end)
        if last or not part:
            del table[flight.rq]

    def tells(self, flight, table):
        """All of those that overlap do; a variant leaves some of them out."""
        more = any(f is not flight and f.begin < flight.end and flight.begin < f.end for f in table.values())
        return self.rule("so is who is not the last of them" if more else "the last of those that overlap is marked")

    # -- commands that are not atomic --

    def settled(self, sequence):
        tables = self.flights if self.rule("the fence over all disks") else self.flights[:1]
        return all(flight.sequence >= sequence for table in tables for flight in table.values())

    def attach(self, disk):
        """What was known of it is forgotten; what is in flight is not known."""
        self.flights[disk] = {}
        mine = set(range(disk * SECTORS // BLOCK, (disk + 1) * SECTORS // BLOCK))
        self.now -= mine
        self.taken -= mine
        if self.rule("everything is marked at attach"):
            self.doubtful.add(disk)
        if self.rule("attach is counted"):
            self.count()


class Take:
    """Moves the map aside, piece by piece."""

    def __init__(self, tracker):
        self.gap, self.at = tracker.gap, 0
        self.position, self.sequence = tracker.head, tracker.sequence

    def step(self, t):
        """True: it is done."""
        if self.at < BLOCKS:
            disk = self.at * BLOCK // SECTORS
            if disk in t.doubtful:
                t.doubtful.discard(disk)
                t.now.update(range(disk * SECTORS // BLOCK, (disk + 1) * SECTORS // BLOCK))
            if self.at in t.now:
                t.now.discard(self.at)
                t.taken.add(self.at)
            self.at += 1
            return False
        if t.rule("the position after the take's last piece"):
            self.position = t.head
        if t.rule("the sequence after the take's last piece"):
            self.sequence = t.sequence
        if not t.rule("the count before the take's first piece"):
            self.gap = t.gap
        if t.rule("a take arms it again"):
            t.closed = False
        return True


class Off:
    """Switches the log off, and folds what it holds into `now`, record by record."""

    def __init__(self, tracker):
        tracker.on = False
        self.fold = list(tracker.ring)

    def step(self, t):
        if any(not record.published for record in self.fold):
            return False
        if self.fold:
            record = self.fold.pop(0)
            if record.kind != MARK and t.rule("the log is folded"):
                t.mark_range(record.begin, record.end)
            return False
        t.release(t.head)
        if t.rule("folding is counted"):
            t.count()
        return True


# ---- the shipper ----


class Chunk:
    def __init__(self):
        self.uid = 0
        self.items = []       # kind, begin, content
        self.release = set()  # blocks that were read, whose ack releases them
        self.through = 0      # the log up to here
        self.legal = None     # of its end, if that is called good
        self.own = False      # a mark of the module's own

    def extents(self):
        return [(begin, begin + len(content)) for kind, begin, content in self.items if kind != MARK]


class Round:
    def __init__(self, take, tracker):
        self.take, self.clip = take, set()
        self.todo, self.reads = set(tracker.taken), {}
        self.half = None             # a block that is being read: block, what was read
        self.last = take.position    # the log's head when the last read was done
        self.open = False            # the fence has let it through


class Shipper(Part):
    """All that a kill takes away, but a command that is under way."""

    def __init__(self, run, tracker):
        self.rng, self.without, self.run, self.tracker = run.rng, run.without, run, tracker
        self.forget()
        self.command = None
        self.acks = []
        self.coalesce = run.drawn("coalesce", (False, True))
        self.switching = run.drawn("switching", (0, 0, .02, .1))
        self.marking = run.rng.choice((.02, .1, .3))
        self.verifying = run.drawn("verifying", (0, 0, .02))
        self.closing = run.drawn("closing", (.05, .15, .15))
        self.eager = run.drawn("eager", (.3, .6, .9))
        self.hearing = run.drawn("hearing", (.1, .5, .5))

    def forget(self):
        """All but where the tracker says that it is."""
        self.position = self.tracker.tail
        self.chunk, self.window, self.acks = Chunk(), [], []
        self.round, self.good_gap, self.behind = None, None, 0
        self.omitted = 0   # up to here something is left out that stands further down in the log
        self.prefix = None  # is the end of the chunk one, as far as its last record tells

    def may_die(self):
        if self.rng.random() < self.run.kills:
            raise Killed

    # -- what it does next --

    def step(self, session):
        rng, t = self.rng, self.tracker
        if self.acks and rng.random() < self.hearing:
            self.ack(self.acks)
            self.acks = []
        elif self.command:
            if self.command.step(t):
                self.done(self.command)
        elif self.tracker.on and rng.random() < self.marking * .2:
            t.mark()
        elif rng.random() < self.switching * .3:
            self.switch()
        elif rng.random() < self.verifying:  # a block is read that is not dirty
            block = rng.randrange(BLOCKS)
            t.mark_range(block * BLOCK, block * BLOCK + 1)
        elif rng.random() < self.closing:
            self.close(session)
        elif self.round and rng.random() < self.eager:
            self.go_on()
        elif not self.round and rng.random() < .5 and self.may_take():
            self.command = Take(t)
        else:
            self.follow()

    def switch(self):
        if self.tracker.on:
            self.command = Off(self.tracker)
        else:
            self.tracker.on, self.tracker.closed = True, False

    def done(self, command):
        self.command = None
        if isinstance(command, Take):
            self.round = Round(command, self.tracker)
        else:
            self.position = self.tracker.head

    # -- the log --

    def follow(self):
        """Its next record goes on the stream."""
        t = self.tracker
        record = self.next()
        if not record or (not record.published and self.rule("only what is published is read")):
            return
        end = record.position + record.length
        if self.rule("one order over all disks"):
            self.position = end
        else:
            self.took.add(record.position)
            while any(r.position == self.position and r.position in self.took for r in t.ring):
                self.position = next(r.position + r.length for r in t.ring if r.position == self.position)
        good = self.good_gap == record.gap or (self.good_gap is not None and not self.rule("a mark has the count of the round"))
        good &= record.position >= self.behind or not self.rule("a mark lies behind the last read")
        if record.kind == MARK:
            self.chunk.items.append((MARK, 0, ()))
            self.chunk.legal, self.chunk.own = record.legal if good else None, record.own
            self.prefix = None
            self.seal()
            return
        if record.kind == LOG:
            self.put(record, end)
        self.prefix = record.legal if good and record.kind != SKIP and self.prefixed(end) else None

    def prefixed(self, end):
        if not self.rule("one order over all disks"):
            return False
        return end > self.omitted or not self.rule("a coalesced chunk is no prefix")

    took = frozenset()

    def next(self):
        t, later = self.tracker, [r for r in self.tracker.ring if r.position >= self.position]
        if self.rule("one order over all disks") or not later:
            return later[0] if later else None
        if not isinstance(self.took, set):
            self.took = set()
        later = [r for r in later if r.position not in self.took]
        if not later:
            return None
        disk = self.rng.randrange(DISKS)  # a log for each, and the mark in the first one
        mine = [r for r in later if (disk_of(r.begin) if r.kind != MARK else 0) == disk]
        return mine[0] if mine else None

    def put(self, record, end):
        """Overwritten before the next mark, it may be left out; then no end of a chunk is a state until what overwrote it is there."""
        content = record.content if record.published else [-1] * len(record.content)
        if self.coalesce:
            for other in self.tracker.ring:
                if other.position <= record.position:
                    continue
                if other.kind == MARK and self.rule("no coalescing over marks"):
                    break
                if other.kind == LOG and other.published and other.begin <= record.begin and record.end <= other.end:
                    self.omitted = max(self.omitted, other.position + other.length)
                    return
        if self.round and (record.position >= self.round.take.position or not self.rule("clip only by what is behind F")):
            self.round.clip.update(range(record.begin, record.end))
        self.chunk.items.append((LOG, record.begin, content))

    # -- chunks --

    def close(self, session):
        if self.chunk.items and len(self.window) < WINDOW:
            self.chunk.legal = self.prefix
            self.seal()

    def seal(self):
        self.run.uid += 1
        self.chunk.through = self.position
        self.chunk.uid = self.run.uid
        self.window.append(self.chunk)
        if self.run.session:
            self.run.wire.append(self.chunk)
        if not self.rule("log space is freed by the ack"):
            self.tracker.release(self.chunk.through)
        self.chunk, self.prefix = Chunk(), None

    def ack(self, chunks):
        t, last = self.tracker, chunks[-1]
        steps = [lambda: t.release(last.through), lambda: t.taken.difference_update(*(chunk.release for chunk in chunks))]
        if not self.rule("the log is released before the blocks"):
            steps.reverse()
        steps.insert(2 if self.rule("the cookie after what it stands for") else 0, lambda: setattr(t, "cookie", last.uid))
        for step in steps:
            step()
            self.may_die()

    def hear(self, uid):
        while self.window and any(chunk.uid == uid for chunk in self.window):
            self.acks.append(self.window.pop(0))

    # -- rounds --

    def may_take(self):
        t = self.tracker
        if self.rule("no take while a read is unacked"):
            if self.chunk.release or any(chunk.release for chunk in self.window + self.acks):
                return False
        if not self.rule("taken outlives the shipper") and self.good_gap is None:
            t.taken.clear()
        return t.now or t.taken or t.doubtful or self.good_gap != t.gap

    def go_on(self):
        r, t = self.round, self.tracker
        if not r.open:
            r.open = t.settled(r.take.sequence) or not self.rule("the fence")
        elif r.half or (r.todo and self.rng.random() < .5):
            self.read()
        elif r.reads:
            if self.position >= r.take.position or not t.on or not self.rule("reads behind all before F"):
                self.put_read(self.rng.choice(sorted(r.reads)))
        elif not r.todo:
            self.good_gap, self.behind, self.round = r.take.gap, r.last, None

    def read(self):
        """A block, in two halves."""
        r, disk = self.round, self.run.source.disk
        if not r.half:
            block = self.rng.choice(sorted(r.todo))
            r.todo.discard(block)
            r.half = (block, disk[block * BLOCK:block * BLOCK + BLOCK // 2])
        else:
            block, content = r.half
            r.reads[block] = content + disk[block * BLOCK + BLOCK // 2:(block + 1) * BLOCK]
            r.half, r.last = None, self.tracker.head

    def put_read(self, block):
        r = self.round
        if self.rule("nothing is good from a round's first read to its end"):
            self.good_gap = self.prefix = None
        content, clip = r.reads.pop(block), r.clip if self.rule("clip") else ()
        sectors = range(block * BLOCK, (block + 1) * BLOCK)
        if not self.rule("clip by sectors") and any(sector in clip for sector in sectors):
            clip = sectors
        left = [sector for sector in sectors if sector not in clip]
        for sector in left:
            self.chunk.items.append((READ, sector, [content[sector - block * BLOCK]]))
        if left or self.rng.random() < .5:
            self.chunk.release.add(block)
            self.chunk.items.append((READ, sectors[0], []))
        else:
            self.tracker.taken.discard(block)

    # -- sessions --

    def connect(self, journal):
        t, last = self.tracker, journal[-1].uid if journal else 0
        if last == t.cookie or any(chunk.uid == last for chunk in self.window + self.acks):
            self.hear(last)
            return
        self.forget()
        known = next((i + 1 for i, chunk in enumerate(journal) if chunk.uid == t.cookie), 0)
        for chunk in journal[known:]:
            for begin, end in chunk.extents() if self.rule("the rewind list") else ():
                if end > begin:
                    t.mark_range(begin, end)
        t.count()
        self.may_die()
        t.cookie = last


# ---- the target ----


class Target:
    def __init__(self, run):
        self.run, self.rng, self.without = run, run.rng, run.without
        self.received, self.journal = [], []   # in memory; durable
        self.state = [0] * ALL                 # what the stream says
        self.replica = [0] * ALL               # what the applier made of it
        self.before, self.reached, self.applied = {}, 0, 0
        self.good = self.own = 0

    def sync(self):
        """What is durable is what counts: a point, if it is one, is one from here on."""
        while self.received:
            chunk = self.received.pop(0)
            self.journal.append(chunk)
            for _, begin, content in chunk.items:
                self.state[begin:begin + len(content)] = content
            if chunk.legal:
                self.look(chunk)
            if "an ack means durable" not in self.without:
                self.run.answer(chunk.uid)

    def look(self, chunk):
        self.good += 1
        self.own += chunk.own
        if any(content not in legal for content, legal in zip(self.state, chunk.legal)):
            self.run.seen.add("marks")
        if not self.run.source.depends(self.state):
            self.run.seen.add("depends")

    def receive(self, chunk):
        self.received.append(chunk)
        if "an ack means durable" in self.without:
            self.run.answer(chunk.uid)

    def apply(self):
        if self.reached < len(self.journal):
            for _, begin, content in self.journal[self.reached].items:
                for sector, value in enumerate(content, begin):
                    self.before.setdefault(sector, []).append(self.replica[sector])
                    self.replica[sector] = value
            self.reached += 1
            if "applied is what is durable" in self.without:
                self.applied = self.reached

    def commit(self):
        self.applied, self.before = self.reached, {}

    def crash(self):
        """Its power is cut."""
        for sector, values in self.before.items():
            self.replica[sector] = self.rng.choice(values + [self.replica[sector]])
        self.received, self.before, self.reached = [], {}, self.applied


# ---- a run ----


class Run:
    EVENTS = dict(submit=8, merge=2, issue=10, copied=12, land=10, complete=8, take_back=2, end_queued=.3, steal=.5, strange=.3,
                  late=3, ship=90, receive=30, sync=12, hear=30, lose=.7, connect=10, kill=.5, apply=12, commit=3, crash=.5,
                  attach=.3, snapshot=.3, revert=.3)
    FAULTS = ("take_back", "end_queued", "steal", "strange", "lose", "kill", "crash", "attach", "revert")
    SLOW = (("land", "complete"), ("complete",), ("copied",), ("receive", "hear"), ("sync",), ("connect",), ("ship",), ("issue",))
    CALM = dict(merge=1, issue=6, copied=9, land=3, complete=9, late=9, ship=60, receive=20, sync=12, hear=20, connect=12, apply=20,
                commit=2)

    def __init__(self, seed, without, weather=STORM, trace=None):
        self.rng = random.Random(seed)
        self.weather = WEATHERS[weather]
        self.without, self.trace = without, trace
        self.seen, self.uid, self.clock = set(), 0, 0
        self.kills = self.drawn("kills", (0, .03, .2))
        self.torn = self.drawn("torn", (0, 0, .05))
        self.collide = self.drawn("collide", (0, 0, .05, .3, 1))
        self.fails = self.drawn("fails", (0, .03, .15))
        self.parts = self.drawn("parts", (0, .1, .3))
        self.written = self.drawn("written", (SECTORS, SECTORS, BLOCK, 2))  # sectors of each disk
        self.session, self.wire, self.back = False, [], []
        self.source = None
        self.source = Source(self)
        self.source.shipper = Shipper(self, self.source.tracker)
        self.target = Target(self)
        self.snap = None
        self.calm = False

    def drawn(self, name, choices):
        choice = self.rng.choice(choices)
        return self.weather.get(name, choice)

    # -- writes --

    def tick(self):
        self.clock += 1
        return self.clock

    def some(self, state):
        found = [rq for rq in self.source.requests if rq.state == state]
        return self.rng.choice(found) if found else None

    def new_bio(self, disk=None):
        """None: it would overlap another, and this is a run in which that is rare."""
        s, rng = self.source, self.rng
        disk, length = rng.randrange(DISKS) if disk is None else disk, rng.randint(1, min(LONGEST, self.written))
        begin = disk * SECTORS + rng.randint(0, self.written - length)
        if any(rq.begin < begin + length and begin < rq.end for rq in s.requests) and rng.random() >= self.collide:
            return None
        bio = Bio(self.tick(), self.clock, begin, begin + length)
        s.bios[bio.number] = bio
        for sector in range(begin, begin + length):
            s.cover[sector].append(bio)
        return bio

    def submit(self):
        bio = self.new_bio() if len(self.source.requests) < 8 else None
        if not bio:
            return
        cut = self.rng.randint(bio.begin + 1, bio.end) if self.rng.random() < .3 else bio.end
        for begin, end in ((bio.begin, cut), (cut, bio.end)):
            if begin < end:
                self.source.requests.append(Request(begin, [bio] * (end - begin)))

    def merge(self):
        """Two that are next to one another; who was taken back, too. The second one's address is given up."""
        queue = [rq for rq in self.source.requests if rq.state == Request.QUEUED and not rq.strange]
        pairs = [(a, b) for a in queue for b in queue if a.end == b.begin and disk_of(a.begin) == disk_of(b.begin)]
        if pairs:
            first, second = self.rng.choice(pairs)
            keep, gone = (first, second) if self.rng.random() < .5 else (second, first)
            keep.begin, keep.bios, keep.ever = first.begin, first.bios + second.bios, first.ever | second.ever
            if gone.back is not None:
                keep.back = max(gone.back, keep.back or 0)
            self.source.requests.remove(gone)

    def issue(self):
        rq = self.some(Request.QUEUED)
        if rq:
            again, rq.back = rq.back is not None, None
            rq.state, rq.landed = Request.COPYING, {}
            self.source.tracker.issued(rq, again)

    def copied(self):
        rq = self.some(Request.COPYING)
        if rq:
            self.source.tracker.copied(rq, self.calm or self.rng.random() >= self.torn)
            rq.state = Request.SENT

    def put(self, rq, sectors):
        when = self.tick()
        for sector in sectors:
            self.source.disk[sector] = rq.bios[sector - rq.begin].number
            rq.landed[sector] = rq.ever[sector] = when

    def land(self):
        rq = self.some(Request.SENT)
        if "what was taken back lands no more" in self.without and self.rng.random() < .3:
            rq = next((r for r in self.source.requests if r.back is not None), rq)
        if rq:
            left = [sector for sector in range(rq.begin, rq.end) if sector not in rq.landed]
            self.put(rq, left if self.rng.random() < .5 else left[:1] if self.rng.random() < .5 else left[-1:])

    def end(self, rq, part, failed):
        """The first sectors of it are done with."""
        s = self.source
        if not failed:
            self.put(rq, [sector for sector in range(rq.begin, rq.begin + part) if sector not in rq.landed])
        s.tracker.completed(rq, part, failed)
        self.done(rq, part, failed)

    def hidden(self, rq, failed):
        """It ends, and no hook tells of it."""
        if not failed:
            self.put(rq, range(rq.begin, rq.end))
        self.done(rq, len(rq.bios), failed)

    def done(self, rq, part, failed):
        for sector, bio in enumerate(rq.bios[:part], rq.begin):
            if sector in rq.ever:
                self.source.settled[sector] = max(self.source.settled[sector], (rq.ever[sector], bio.number))
            bio.left -= 1
            bio.failed |= failed
            if not bio.left:
                bio.done = self.tick()
        rq.begin, rq.bios = rq.begin + part, rq.bios[part:]
        if not rq.bios:
            self.source.requests.remove(rq)

    def complete(self):
        rq = self.some(Request.SENT)
        if not rq:
            return
        part = len(rq.bios)
        if not rq.strange and part > 1 and self.rng.random() < self.parts:
            part = self.rng.randint(1, part - 1)
        failed = not self.calm and self.rng.random() < self.fails
        if failed:
            extent = [sector for sector in range(rq.begin, rq.begin + part) if sector not in rq.landed]
            self.put(rq, extent[:self.rng.randint(0, len(extent))])
        self.end(rq, part, failed)
        if rq.bios and self.rng.random() < .5:
            self.back_to_queue(rq)

    def back_to_queue(self, rq):
        """What landed of it stays; nothing more of it does."""
        self.source.tracker.requeued(rq)
        self.settle_back(rq)

    def settle_back(self, rq):
        rq.state, rq.back = Request.QUEUED, self.tick()

    def take_back(self):
        rq = self.some(Request.SENT)
        if rq and not rq.strange:
            self.back_to_queue(rq)

    def end_queued(self):
        """What waits fails without being sent again; taken back, some of it may be on the disk."""
        rq = self.some(Request.QUEUED)
        if rq and not rq.strange:
            if rq.back is not None and "what was taken back is issued again, or completes" in self.without:
                self.hidden(rq, True)
            else:
                self.end(rq, len(rq.bios), True)


    def steal(self):
        """A completion of 0 bytes: its bios go elsewhere, and come back as another request, or fail there."""
        rq = self.some(Request.SENT)
        if rq and not rq.strange and rq in self.source.tracker.flights[disk_of(rq.begin)]:
            self.source.tracker.completed(rq, 0, False)
            self.source.requests.remove(rq)
            heir = Request(rq.begin, rq.bios)
            heir.ever = rq.ever
            self.settle_back(heir)
            self.source.requests.append(heir)
            if self.rng.random() < .3:
                self.hidden(heir, True)

    def strange(self):
        """A driver's command that writes."""
        bio = self.new_bio() if not any(rq.strange for rq in self.source.requests) else None
        if bio:
            self.source.requests.append(Request(bio.begin, [bio] * (bio.end - bio.begin), True))

    def late(self):
        self.source.tracker.do_late()

    def attach(self):
        """A disk, again, or for the first time: with the log off, which is folded."""
        t, sh = self.source.tracker, self.source.shipper
        if sh.command:
            return
        if t.on:
            sh.command = Off(t)
            if not self.finish(sh):
                return
        disk = self.rng.randrange(DISKS)
        bio = self.new_bio(disk)
        if bio:  # nobody looked
            rq = Request(bio.begin, [bio] * (bio.end - bio.begin))
            self.source.requests.append(rq)
            self.hidden(rq, False)
        t.attach(disk)

    def finish(self, shipper):
        """A command goes on in the kernel when its caller is dead."""
        for _ in range(200):
            if not shipper.command:
                return True
            if shipper.command.step(self.source.tracker):
                shipper.done(shipper.command)
            elif isinstance(shipper.command, Off):
                self.copied()
        return False

    # -- the session --

    def ship(self):
        self.source.shipper.step(self.session)

    def receive(self):
        if self.wire:
            self.target.receive(self.wire.pop(0))

    def answer(self, uid):
        if self.session:
            self.back.append(uid)

    def sync(self):
        self.target.sync()

    def hear(self):
        if self.back:
            self.source.shipper.hear(self.back.pop(0))

    def cut(self):
        """Some of what was sent still arrives, nothing of what was answered."""
        for _ in range(self.rng.randint(0, len(self.wire))):
            self.receive()
        self.session, self.wire, self.back = False, [], []

    def lose(self):
        if self.session:
            self.cut()

    def connect(self):
        if self.session:
            return
        self.target.sync()
        self.source.shipper.connect(self.target.journal)
        self.session, self.wire = True, list(self.source.shipper.window)

    def kill(self):
        self.cut()
        old = self.source.shipper
        self.finish(old)
        self.source.shipper = Shipper(self, self.source.tracker)
        if old.command:
            self.source.shipper.command = old.command

    # -- the target --

    def apply(self):
        self.target.apply()

    def commit(self):
        self.target.commit()

    def crash(self):
        self.target.crash()
        self.session, self.wire, self.back = False, [], []

    # -- the source is put back --

    def snapshot(self):
        if self.snap is None:
            self.snap = copy.deepcopy(self.source)

    def revert(self):
        if self.snap is not None:
            self.cut()
            self.source, self.snap = self.snap, None

    # -- all of it --

    def happen(self, weights, steps):
        for name in self.rng.choices(list(weights), list(weights.values()), k=steps):
            try:
                getattr(self, name)()
            except Killed:
                name += ", killed"
                self.kill()
            if self.trace:
                self.trace(name, self)

    def weights(self):
        weights = dict(self.EVENTS)
        for name in self.FAULTS:
            weights[name] *= self.rng.choice((0, 0, .3, 1, 3))
        for names in self.SLOW:
            factor = self.rng.choice((.1, .3, 1, 1))
            for name in names:
                weights[name] *= factor
        weights["submit"] *= self.rng.choice((.1, .3, 1))
        return weights | {name: weight for name, weight in self.weather.items() if name in weights}

    def rests(self):
        s, t, sh = self.source, self.source.tracker, self.source.shipper
        return self.session and not (
            s.requests or t.now or t.taken or t.doubtful or t.later or sh.round or sh.window or sh.acks or sh.chunk.items or
            sh.command or self.wire or self.back or self.target.received or sh.position < t.head or sh.good_gap != t.gap or
            self.target.reached < len(self.target.journal))

    def come_to_rest(self):
        for _ in range(0, PATIENCE, 20):
            self.happen(self.CALM, 20)
            if self.rests():
                return True
        return False

    def a_point_comes(self):
        """Now that nothing happens, the next mark is good."""
        sh, t, before = self.source.shipper, self.source.tracker, self.target.good
        if not t.on:
            sh.switch()
        mark = t.mark()
        if not mark or not self.come_to_rest():
            return False
        return self.target.good > before

    def run(self):
        """What it showed: of KINDS."""
        self.happen(self.weights(), STEPS)
        sh = self.source.shipper
        self.calm, self.kills, self.fails = True, 0, 0
        sh.switching = sh.marking = sh.verifying = 0
        sh.closing, sh.hearing, sh.eager = .15, .5, .6
        if not self.come_to_rest():
            self.seen.add("no rest")
            return self.seen
        if self.target.state != self.source.disk or self.target.replica != self.source.disk:
            self.seen.add("differs")
        if not self.a_point_comes():
            self.seen.add("no rest")
        return self.seen


class Trace:
    """A line for each event that changed something."""

    def __init__(self):
        self.last = ""

    def __call__(self, name, run):
        s, t, sh, r = run.source, run.source.tracker, run.source.shipper, run.source.shipper.round
        requests = [f"{q.begin}-{q.end - 1}={'/'.join(str(n) for n in sorted({b.number for b in q.bios}))} {q.state}"
                    f"{' back' if q.back is not None else ''}{' landed ' + str(sorted(q.landed)) if q.landed else ''}"
                    for q in s.requests]
        ring = [f"{q.position}:{q.kind[0]}{q.begin}={q.content}{'' if q.published else '?'}" for q in t.ring]
        doing = "idle" if not r else (f"round gap {r.take.gap} F {r.take.position} todo {sorted(r.todo)} read {r.reads} clip {sorted(r.clip)}"
                                      f"{'' if r.open else ' fence'}")
        chunks = [f"{c.uid}{'*' if c.legal else ''}" for c in sh.window]
        line = (f"disk {s.disk} {requests}\n    now {sorted(t.now)} taken {sorted(t.taken)} doubt {sorted(t.doubtful)} gap {t.gap}"
                f" log {'on' if t.on else 'off'} {t.tail}-{t.head} {ring}\n    {type(sh.command).__name__} {doing} at {sh.position} good gap"
                f" {sh.good_gap} behind {sh.behind} chunk {sh.chunk.items} window {chunks} cookie {t.cookie}\n    "
                f"{'session' if run.session else 'no session'} journal {[c.uid for c in run.target.journal][-4:]} state {run.target.state}"
                f" {sorted(run.seen)}")
        if line != self.last:
            print(f"{name}\n    {line}")
            self.last = line


def row(name, without, weather, limit, trace, until=None, enough=0):
    """Runs it, until what is expected was seen often enough; what was seen in how many runs, and how many good marks there were."""
    seen, runs, good, own = dict.fromkeys(KINDS, 0), 0, 0, 0
    while runs < limit and (not until or seen[until] < enough):
        run = Run(runs, without, weather)
        kinds = run.run()
        if kinds and trace and not any(seen.values()):
            Run(runs, without, weather, Trace()).run()
        for kind in kinds:
            seen[kind] += 1
        runs += 1
        good += run.target.good
        own += run.target.own
    print(f"{name:66} {runs:7} " + " ".join(f"{seen[kind]:8}" for kind in KINDS) + f" {good:9} {own:8}", flush=True)
    return seen, own


def main():
    parser = argparse.ArgumentParser(description="Model of streaming; see the head of this file.")
    parser.add_argument("runs", nargs="?", type=int, default=3000, metavar="RUNS")
    parser.add_argument("--only", default="", metavar="NAME")
    parser.add_argument("--trace", action="store_true")
    args = parser.parse_args()
    faults = []

    def rows(names):
        return [name for name in names if args.only in name]

    print(f"{'of these runs:':66} {'runs':>7} " + " ".join(f"{kind:>8}" for kind in KINDS) + f" {'good':>9} {'closing':>8}")
    for name in rows(f"the protocol, {weather}" for weather in WEATHERS):
        if any(row(name, frozenset(), name.split()[-1], args.runs, args.trace)[0].values()):
            faults.append(f"{name}: broken")
    for name in rows(SPARE):
        if any(row(f"spare: {name}", frozenset([name]), STORM, args.runs, args.trace)[0].values()):
            faults.append(f"'{name}' is not spare")
    enough = max(1, args.runs // 1000)
    for label, rules in (("without", NEEDED), ("assumed", ASSUMED)):
        for name in rows(name for name in rules if args.runs >= SHORT or args.only or name not in RARE):
            kind, weather = rules[name] if isinstance(rules[name], tuple) else (rules[name], STORM)
            if not row(f"{label}: {name}", frozenset([name]), weather, VARIANT_RUNS, args.trace, kind, enough)[0][kind]:
                faults.append(f"nothing shows that '{name}' is needed ({kind})")
    for name in rows(POINTS):
        runs, (share, weather) = max(args.runs // 4, 200), POINTS[name]
        own = row(f"all of the protocol, {weather}", frozenset(), weather, runs, False)[1]
        seen, left = row(f"without: {name}", frozenset([name]), weather, runs, args.trace)
        if any(seen.values()) or left > own * share:
            faults.append(f"'{name}' gives no points, or breaks the protocol")
    for fault in faults:
        print(f"stream: {fault}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
