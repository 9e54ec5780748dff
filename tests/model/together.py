#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A model of hashes and a log together: hash-first rounds and verify (R11) while the kernel module's log is on, goes on or off.

It is the source of stream.py (source.py) with all that goes wrong there, a shipper that does what shipper/ does (round.c,
verify.c, streaming.c, follow.c, point.c, stream.c), and a target that compares when it reaches a hash, or looks ahead for it
between points (I11). Disks begin in doubt, onto a replica that is not theirs; the log is switched at rest; a round may give it
up; frozen copies are made with the log off; blocks of the replica change by themselves (rot); batches of verify are given up.

Looked at as the target takes a chunk for durable, as it applies, and when the run has come to rest, before a verify repairs
anything and again behind a whole pass of it:
  differs   the replica is not the disk
  no rest   it does not come to rest, or no mark is good there
  marks     as in stream.py, of the stream and of the replica; rot is left out
  depends   as in stream.py
  counts    a difference was counted without rot
  looks     where no request comes back, and the log is on all the time: a verify found one at its first look
  known     a mark or the end of a chunk was called good while the shipper knew of a difference that it had not sent again
None of these may happen. Each rule that is left out must make one of them happen, or it is listed as SPARE.

Not modelled: as in stream.py, but for hashes, verify and frozen copies. Shown by hashfirst.py alone: that nothing is taken while
a verify compares, that results which come late for one do not count, and that a take ends suspicion.

together.py [RUNS] [--only NAME] [--trace]: as stream.py
"""
import sys

sys.dont_write_bytecode = True

import stream
from runs import arguments, count, verdict
from shipper import WINDOW, Chunk, Round, Shipper
from source import ALL, BLOCK, BLOCKS, DISKS, LOG, MARK, READ, SECTORS, Off, Take, Tracker, disk_of

HASH = "HASH"
EQUAL, DIFFERS, UNDECIDED = "equal", "differs", "undecided"
EMPTY, POINT, BETWEEN = "EMPTY", "POINT", "BETWEEN"
STALE = -1       # content of a replica that never was the disk's; what rot leaves is less
VARIANT_RUNS = 30000
STEPS = 1000     # of a run, before it is let come to rest
KINDS = ("differs", "no rest", "marks", "depends", "counts", "looks", "known")

# Storm: how often things happen is drawn. In the others some of it is not.
STORM, DRIZZLE, LAG, RETURNS, CRASHES, SWITCHES, DOUBTS = (
    "storm", "drizzle", "lag", "returns", "crashes", "switches", "doubts")
CALMLY = dict(stream.CALMLY, rot=0, give_up=0, kill=0, lose=0, kills=0, lag=0)
LOOKING = CALMLY | dict(steady=True, parts=0, give_log_up=0, hot=True, written=2, seeded=0, size=80, switching=0, marking=.02,
                        verify=.9, beginning=.2, closing=.4, hearing=.8, ship=300, begin_pass=30, connect=60, receive=60, sync=40,
                        hear=60, apply=80, copied=60, issue=40)
WEATHERS = {
    STORM: {},
    # one block of each disk is written over and over, and looked at: slowly; ahead of the log; taken back; a target that dies
    DRIZZLE: LOOKING | dict(submit=4, land=1, complete=5, eager=.5),
    LAG: LOOKING | dict(submit=10, land=10, complete=20, lag=.8, eager=.8),
    RETURNS: LOOKING | dict(steady=False, submit=8, take_back=20, land=4, complete=8, eager=.8, issue=15),
    CRASHES: LOOKING | dict(steady=False, submit=10, land=10, complete=20, eager=.7, crash=8, connect=100, commit=1),
    SWITCHES: CALMLY | dict(switching=.2, submit=16, issue=20, copied=20, complete=16, freeze=.5, size=80, eager=.5),
    DOUBTS: CALMLY | dict(seeded=1, strange=1, submit=8, complete=16, size=80, switching=.02),
}

# Rules, by what is seen without them, and in which weather.
NEEDED = {
    "the fence": ("differs", DRIZZLE),
    "the log is held at F": ("differs", DRIZZLE),
    "the log is switched at rest": ("differs", SWITCHES),
    "the log stays off until a frozen copy is sent": ("marks", SWITCHES),
    "the result releases, not the ack": ("differs", STORM),
    "no take while a hash is uncompared": ("marks", DOUBTS),
    "what is undecided is sent again": ("differs", DOUBTS),
    "marked, then released": ("differs", STORM),
    "what differs is counted": ("marks", DOUBTS),
    "behind a round with hashes only what is newer than their results": ("marks", DOUBTS),
    "a lost result voids the round": ("differs", STORM),
    "results end with the session": ("no rest", STORM),
    "undecided where the interval wrote": ("looks", DRIZZLE),
    "what is logged is marked, too": ("looks", LAG),
    "the gate is looked at after that": ("looks", DRIZZLE),
    "the stream has what is before that": ("looks", LAG),
    "so have the disks": ("looks", DRIZZLE),
    "until their results are there": ("counts", RETURNS),
    "a second look": ("counts", RETURNS),
    "a second look waits for writes in flight": ("counts", RETURNS),
    "what is known to differ ends streaming": ("known", STORM),
}
# Of these, those that are rarely missed: they are left out of a short run.
RARE = ("marked, then released", "the log stays off until a frozen copy is sent", "until their results are there",
        "undecided where the interval wrote")
SHORT = 1000  # fewer runs than these
# Each alone, and why. What the log sends behind the hash was logged behind F, or is marked for the verify.
SPARE = {
    "undecided in a redo": CRASHES,
    "undecided between points": CRASHES,
}


def blocks(disk):
    return range(disk * SECTORS // BLOCK, (disk + 1) * SECTORS // BLOCK)


def within(block):
    return range(block * BLOCK, (block + 1) * BLOCK)


class Log(Tracker):
    """With the switch for a verify, and a count of doubts for each disk."""

    def __init__(self, run):
        super().__init__(run)
        self.both = False
        self.doubts, self.followed = [0] * DISKS, [0] * DISKS
        self.in_doubt = set()  # only a hint: outlives a shipper, or not

    def issued(self, rq, again):
        if self.on and self.both and not rq.strange:
            self.mark_range(rq.begin, rq.end)
        super().issued(rq, again)

    def doubt(self, disk):
        self.doubts[disk] += 1
        super().doubt(disk)

    def attach(self, disk):
        self.doubts[disk] += 1
        super().attach(disk)

    def marked(self, block):
        return block in self.now or block in self.taken or disk_of(block * BLOCK) in self.doubtful


class Batch:
    """Of a verify."""

    def __init__(self, todo, gate):
        self.todo, self.gate = todo, gate
        self.reads, self.half = {}, None
        self.open = self.closed = False


class Frozen:
    """A copy of what was left, for a point."""

    def __init__(self, take, tracker):
        self.take, self.todo = take, set(tracker.taken)
        self.reads, self.legal = {}, None


class Hasher(Shipper):
    def __init__(self, run, tracker):
        self.batch = self.frozen = None
        super().__init__(run, tracker)
        self.suspects, self.unseen = {}, set(range(BLOCKS))
        self.known = set()  # found different, and not on the stream since
        self.verify = run.drawn("verify", (0, .1, .5))
        self.freeze = run.drawn("freeze", (0, .1, .3))
        self.give_log_up = run.drawn("give_log_up", (0, .1))
        self.beginning = run.drawn("beginning", (.05, .5, .5))
        self.lag = run.drawn("lag", (0, 0, .8))

    def forget(self):
        super().forget()
        self.sealed_at, self.hold = self.position, None
        self.awaited = {}      # chunks acked and not compared, by number
        self.packed = Chunk()  # of what was read
        self.batch = self.frozen = None
        self.tracker.both = False

    # -- how it stands --

    def drained(self):
        """All that was read is acked, and compared."""
        if self.awaited and self.rule("no take while a hash is uncompared"):
            return False
        return not any(chunk.owed for chunk in self.window + self.acks)

    def resting(self):
        return not (self.round or self.batch or self.frozen) and self.drained()

    def sealed(self):
        """What is before it is in sealed chunks."""
        return self.sealed_at if self.chunk.items else self.position

    def reached(self, position):
        return not self.tracker.on or self.sealed() >= position

    # -- what it does next --

    def step(self, session):
        rng, t = self.rng, self.tracker
        if self.acks and rng.random() < self.hearing:
            self.ack_all()
        elif self.command:
            if self.command.step(t):
                self.done(self.command)
        elif t.on and rng.random() < self.marking * .2:
            t.mark()
        elif rng.random() < self.switching * .3:
            self.switch()
        elif rng.random() < self.closing:
            self.close(session)
        elif rng.random() < self.closing * .5 and self.packed.items and len(self.window) < WINDOW:
            self.seal_packed()
        elif rng.random() < self.eager and (self.round or self.batch or self.frozen):
            rng.choice([what for part, what in ((self.round, self.go_on), (self.batch, self.look), (self.frozen, self.copy))
                             if part])()
        elif session and rng.random() < self.beginning:
            self.begin()
        elif rng.random() >= self.lag:
            self.follow()

    def begin(self):
        t = self.tracker
        if self.resting() and self.rng.random() < self.verify:
            self.begin_batch()
        elif self.resting() and not t.on and self.rng.random() < self.freeze:
            self.command = Take(t)
            self.command.frozen = True
        elif self.may_take():
            self.command = Take(t)
            self.command.frozen = False

    def may_take(self):
        t = self.tracker
        return self.resting() and (t.now or t.taken or t.doubtful or (t.on and self.good_gap != t.gap))

    def switch(self):
        sending = self.frozen and self.frozen.legal  # which is at rest but for that
        if self.rule("the log is switched at rest") and not (sending or self.resting()):
            return
        if self.rule("the log stays off until a frozen copy is sent") and self.frozen:
            return
        if self.tracker.on:
            self.command = Off(self.tracker)
        else:
            self.tracker.on, self.tracker.closed, self.tracker.both = True, False, False
            self.rewind()

    def rewind(self):
        """The log was switched: it begins anew."""
        self.position = self.sealed_at = self.tracker.tail
        self.good_gap = self.prefix = self.hold = None
        self.chunk = Chunk()

    def done(self, command):
        self.command, t = None, self.tracker
        if isinstance(command, Off):
            self.rewind()
            return
        for disk in range(DISKS):
            if t.doubts[disk] != t.followed[disk]:
                t.in_doubt |= set(blocks(disk))
                t.followed[disk] = t.doubts[disk]
        for block in t.taken:  # written since, it is none
            self.suspects.pop(block, None)
        if command.frozen:
            self.frozen = Frozen(command, t)
            return
        self.round = Round(command, t)
        self.round.hashed = self.round.void = self.round.closed = False
        if t.on and self.rng.random() < self.give_log_up:  # too much was taken
            self.command = Off(t)
        elif t.on:
            self.hold = command.position

    def held(self, position):
        return self.hold is not None and position >= self.hold and self.rule("the log is held at F")

    # -- chunks --

    def seal(self):
        self.sealed_at = self.position
        self.chunk.owed, self.chunk.verify, self.chunk.hashed = False, False, set()
        self.good(self.chunk)
        super().seal()

    def good(self, chunk):
        if chunk.legal and self.known:
            self.run.seen.add("known")

    def seal_packed(self, legal=None):
        chunk, self.packed = self.packed, Chunk()
        self.run.uid += 1
        chunk.uid, chunk.through, chunk.legal = self.run.uid, self.sealed(), legal
        chunk.hashed = {begin // BLOCK for kind, begin, _ in chunk.items if kind == HASH}
        chunk.verify, chunk.owed = bool(self.batch) and not chunk.release, True
        self.good(chunk)
        self.window.append(chunk)
        if self.run.session:
            self.run.wire.append(chunk)

    # -- rounds --

    def go_on(self):
        r, t = self.round, self.tracker
        if not r.open:
            r.open = self.reached(r.take.position) and (t.settled(r.take.sequence) or not self.rule("the fence"))
            if r.open:
                self.good_gap = self.prefix = None
        elif r.half or (r.todo and self.rng.random() < .5):
            self.read()
        elif r.reads:
            if len(self.window) < WINDOW:
                self.put_read(self.rng.choice(sorted(r.reads)))
        elif not r.todo and not r.closed:
            if self.packed.items:
                self.seal_packed()
            r.last, r.closed, self.hold = t.head, True, None
        elif r.closed and self.drained():
            self.end_round()

    def put_read(self, block):
        r, t = self.round, self.tracker
        content = r.reads.pop(block)
        if block in t.in_doubt:
            r.hashed = True
            self.packed.items.append((HASH, block * BLOCK, content))
            return
        self.packed.items.append((READ, block * BLOCK, content))
        self.packed.release.add(block)
        self.known.discard(block)

    def end_round(self):
        r, t, self.round = self.round, self.tracker, None
        if r.void:
            return
        if not self.awaited:
            t.taken.clear()  # what no chunk held as a whole: nothing, in this model
        if t.on:
            newer = r.hashed and self.rule("behind a round with hashes only what is newer than their results")
            self.good_gap, self.behind = r.take.gap, t.head if newer else r.last

    # -- frozen copies --

    def copy(self):
        f, t = self.frozen, self.tracker
        if f.legal is None:
            if not t.settled(f.take.sequence):
                if self.rng.random() < .1:
                    self.frozen = None
            elif f.todo:
                block = f.todo.pop()
                f.reads[block] = [self.run.source.disk[sector] for sector in within(block)]
            elif t.now or t.doubtful:
                self.frozen = None
            else:
                f.legal = self.run.source.legal()
        elif len(self.window) >= WINDOW:
            pass
        elif f.reads:
            block = self.rng.choice(sorted(f.reads))
            self.packed.items.append((READ, block * BLOCK, f.reads.pop(block)))
            self.packed.release.add(block)
            self.known.discard(block)
        else:
            self.packed.items.append((MARK, 0, ()))
            self.seal_packed(f.legal)
            self.frozen = None

    # -- verify --

    def begin_batch(self):
        t = self.tracker
        todo = [block for block in sorted(self.unseen) if self.may_look(block)]
        if not todo:
            return
        gate = None
        if t.on:
            gate = (t.head, t.sequence)
            t.both = self.rule("what is logged is marked, too") and self.rule("the gate is looked at after that")
        self.batch = Batch(set(self.rng.sample(todo, self.rng.randint(1, len(todo)))), gate)

    def may_look(self, block):
        if self.tracker.marked(block):
            return False
        if not self.rule("a second look waits for writes in flight"):
            return True
        return all(bio.done for bio in self.suspects.get(block, ()))

    def look(self):
        b, t = self.batch, self.tracker
        if not b.open:
            self.gate(b)
        elif b.half or (b.todo and self.rng.random() < .5):
            self.look_at()
        elif b.reads:
            if len(self.window) < WINDOW:
                block = self.rng.choice(sorted(b.reads))
                self.packed.items.append((HASH, block * BLOCK, b.reads.pop(block)))
        elif not b.todo and not b.closed:
            if self.packed.items:
                self.seal_packed()
            b.closed = True
            t.both &= self.rule("until their results are there")
        elif b.closed and self.drained():
            self.batch, t.both = None, False

    def gate(self, b):
        t = self.tracker
        if b.gate:
            t.both = self.rule("what is logged is marked, too")
            if self.rule("the stream has what is before that") and not self.reached(b.gate[0]):
                return
            if self.rule("so have the disks") and not t.settled(b.gate[1]):
                return
        b.open = True

    def look_at(self):
        b, disk = self.batch, self.run.source.disk
        if not b.half:
            block = self.rng.choice(sorted(b.todo))
            b.todo.discard(block)
            if not self.tracker.marked(block):
                b.half = (block, disk[block * BLOCK:block * BLOCK + BLOCK // 2])
        else:
            block, content = b.half
            b.reads[block], b.half = content + disk[block * BLOCK + BLOCK // 2:(block + 1) * BLOCK], None

    def give_batch_up(self):
        if self.batch:
            self.forget_results()

    def looked_at(self, block, result, seen):
        """What is marked is sent anyway; what is undecided is looked at another time."""
        t = self.tracker
        marked = t.marked(block)
        if result == UNDECIDED and not marked:
            return
        if result == DIFFERS and not marked:
            if self.run.steady and min(seen) >= STALE:
                self.run.seen.add("looks")
            if block not in self.suspects and self.rule("a second look"):
                self.suspects[block] = {bio for rq in self.run.source.requests if rq.pending() for bio in rq.bios}
                return
            self.run.counted.append(seen)
            self.known.add(block)
            t.mark_gap(block * BLOCK, (block + 1) * BLOCK)
            if self.rule("what is known to differ ends streaming"):
                self.good_gap = self.prefix = None
        self.suspects.pop(block, None)
        self.unseen.discard(block)

    # -- what comes back --

    def ack_all(self):
        acks, self.acks, t = self.acks, [], self.tracker
        for chunk in acks:
            for step in (lambda: setattr(t, "cookie", chunk.uid), lambda: t.release(chunk.through)):
                step()
                self.may_die()
            if chunk.hashed:
                self.awaited[chunk.uid] = chunk
                if not self.rule("the result releases, not the ack") and not chunk.verify:
                    t.taken -= chunk.hashed
            t.taken -= chunk.release

    def compared(self, uid, results):
        self.ack_all()
        chunk = self.awaited.pop(uid, None)
        for block, result, seen in results:
            if chunk and chunk.verify:
                self.looked_at(block, result, seen)
            elif chunk:
                self.settle(block, result)

    def settle(self, block, result):
        t = self.tracker
        again = result == DIFFERS or (result == UNDECIDED and self.rule("what is undecided is sent again"))
        steps = [lambda: again and self.mark_differing(block), lambda: t.taken.discard(block)]
        if not self.rule("marked, then released"):
            steps.reverse()
        steps[0]()
        self.may_die()
        steps[1]()
        t.in_doubt.discard(block)

    def mark_differing(self, block):
        if self.rule("what differs is counted"):
            self.tracker.mark_gap(block * BLOCK, (block + 1) * BLOCK)
        else:
            self.tracker.mark_range(block * BLOCK, (block + 1) * BLOCK)

    # -- sessions --

    def forget_results(self):
        """Those that are still to come do not count, and release nothing."""
        lost = list(self.awaited.values()) + [chunk for chunk in self.window + self.acks if chunk.hashed]
        for chunk in lost:
            chunk.hashed = set()
        self.awaited = {}
        if self.batch:
            if not self.batch.closed:
                self.packed = Chunk()
            self.batch, self.tracker.both = None, False
        elif self.round and (lost or self.round.hashed) and self.rule("a lost result voids the round"):
            self.round, self.packed, self.hold = None, Chunk(), None

    def lose(self):
        if self.rule("results end with the session"):
            self.forget_results()

    def connect(self, journal):
        self.lose()
        super().connect(journal)


# ---- the target ----


class Comparing(stream.Target):
    """Journal, applier and replica: without undo, nothing that a point needs is overwritten before the next is safe (I11)."""

    def __init__(self, run):
        super().__init__(run)
        self.mode, self.until = EMPTY, 0
        self.told = 0
        self.take_up()

    def take_up(self):
        self.reached, self.ahead, self.touched, self.redo = self.applied, None, set(), None

    def sync(self):
        while self.received:
            chunk = self.received.pop(0)
            self.journal.append(chunk)
            for kind, begin, content in chunk.items:
                if kind in (LOG, READ):
                    self.state[begin:begin + len(content)] = content
            if chunk.legal:
                self.look(chunk)
            self.run.answer(chunk.uid)

    def apply(self):
        if self.redo is None:
            self.redo = len(self.journal)
        if self.mode == POINT:
            self.look_ahead()
        elif self.reached < (self.until if self.mode == BETWEEN else len(self.journal)):
            self.put(self.journal[self.reached])

    def compare(self, begin, content, undecided):
        seen = self.replica[begin:begin + BLOCK]
        return begin // BLOCK, UNDECIDED if undecided else EQUAL if seen == content else DIFFERS, seen

    def give(self, number, results):
        if number > self.told:
            self.told = number
            if results:
                self.run.tell(self.journal[number - 1].uid, results)

    def put(self, chunk):
        number, results = self.reached + 1, []
        if self.mode == EMPTY:
            undecided = number <= self.redo and "undecided in a redo" not in self.without
        else:
            undecided = "undecided between points" not in self.without
        for kind, begin, content in chunk.items:
            if kind == HASH:
                results.append(self.compare(begin, content, undecided))
            elif kind != MARK:
                for sector, value in enumerate(content, begin):
                    self.before.setdefault(sector, []).append(self.replica[sector])
                    self.replica[sector] = value
        self.give(number, results)
        self.reached = number
        if self.is_point(chunk):
            self.commit()
            self.mode, self.ahead = POINT, None
            if any(content >= STALE and content not in legal for content, legal in zip(self.replica, chunk.legal)):
                self.run.seen.add("marks")

    def is_point(self, chunk):
        return chunk.legal and chunk.items[-1][0] == MARK

    def look_ahead(self):
        """For the mark that the interval needs; compares on the way."""
        if self.ahead is None:
            self.ahead, self.touched = self.reached, set()
        if self.ahead == len(self.journal):
            return
        chunk, results = self.journal[self.ahead], []
        for kind, begin, content in chunk.items:
            if kind == HASH:
                newer = not self.touched.isdisjoint(range(begin, begin + BLOCK))
                results.append(self.compare(begin, content, newer and "undecided where the interval wrote" not in self.without))
            else:
                self.touched.update(range(begin, begin + len(content)))
        self.ahead += 1
        self.give(self.ahead, results)
        if self.is_point(chunk):
            self.mode, self.until, self.ahead = BETWEEN, self.ahead, None

    def crash(self, power, process):
        if power:
            super().crash()
        if process or power:
            self.told = 0
            self.take_up()

    def give_point_up(self):
        if self.mode == POINT:
            self.mode, self.ahead = EMPTY, None

    def at_end(self):
        if self.mode == POINT:
            return not any(chunk.extents() for chunk in self.journal[self.reached:])
        return self.reached == len(self.journal)


# ---- a run ----


class Run(stream.Run):
    TRACKER, SHIPPER, TARGET, WEATHERS = Log, Hasher, Comparing, WEATHERS
    EVENTS = stream.Run.EVENTS | dict(rot=.4, give_up=.7, give_point_up=.1, begin_pass=4)
    FAULTS = stream.Run.FAULTS + ("rot", "give_up", "give_point_up")

    def __init__(self, seed, without, weather=STORM, trace=None):
        super().__init__(seed, without, weather, trace)
        self.counted, self.rots, self.hot = [], 0, self.drawn("hot", (False, False, False, True))
        self.steady = self.drawn("steady", (False,))
        if self.rng.random() < .5:
            self.target.mode = POINT
        if self.rng.random() < self.drawn("seeded", (.6,)):  # the source crashed, or the replica travelled by car
            t = self.source.tracker
            for disk in range(DISKS):
                t.doubt(disk)
            for block in range(BLOCKS):
                if self.rng.random() < .5:
                    self.target.state[block * BLOCK:(block + 1) * BLOCK] = [STALE] * BLOCK
            self.target.replica = list(self.target.state)

    def tell(self, uid, results):
        """To whatever session there is."""
        if self.session:
            self.back.append((uid, results))

    def hear(self):
        if not self.back:
            return
        what = self.back.pop(0)
        if isinstance(what, tuple):
            self.source.shipper.compared(*what)
        else:
            self.source.shipper.hear(what)

    def cut(self):
        super().cut()
        self.source.shipper.lose()

    def kill(self):
        if self.rng.random() < .5:
            self.source.tracker.in_doubt = set()
        super().kill()

    def attach(self):
        self.kill()
        super().attach()

    def crash(self):
        self.target.crash(self.rng.random() < .5, self.rng.random() < .7)
        self.session, self.wire, self.back = False, [], []
        self.source.shipper.lose()

    def rot(self):
        self.rots += 1
        self.target.replica[self.rng.randrange(ALL)] = STALE - self.rots

    def give_up(self):
        self.source.shipper.give_batch_up()

    def give_point_up(self):
        self.target.give_point_up()

    def begin_pass(self):
        self.source.shipper.unseen = set(range(BLOCKS))

    def done(self, rq, part, failed):
        """Who wrote a block writes it once more."""
        begin = rq.begin
        super().done(rq, part, failed)
        if self.hot and not self.calm and self.rng.random() < .8 and len(self.source.requests) < 8:
            self.again(begin)

    def again(self, begin):
        bio = stream.Bio(self.tick(), self.clock, begin, begin + 1)
        if any(rq.begin < bio.end and bio.begin < rq.end for rq in self.source.requests) and self.rng.random() >= self.collide:
            return
        self.source.bios[bio.number] = bio
        self.source.cover[begin].append(bio)
        self.source.requests.append(stream.Request(begin, [bio]))

    def rests(self):
        s, t, sh = self.source, self.source.tracker, self.source.shipper
        return self.session and not (
            s.requests or t.now or t.taken or t.doubtful or t.later or sh.round or sh.batch or sh.frozen or sh.window or
            sh.acks or sh.awaited or sh.chunk.items or sh.packed.items or sh.command or self.wire or self.back or
            self.target.received or sh.position < t.head or (t.on and sh.good_gap != t.gap) or (sh.unseen and sh.verify))

    def come_to_rest(self):
        for _ in range(0, stream.PATIENCE, 20):
            self.happen(self.CALM, 20)
            sh, t = self.source.shipper, self.source.tracker
            if self.rests():
                if self.target.at_end():
                    return True
                if self.target.mode == POINT:
                    t.mark() if t.on else sh.switch()
        return False

    def a_point_comes(self):
        if not self.source.tracker.on:
            self.source.shipper.switch()
        return self.come_to_rest() and super().a_point_comes()

    def run(self):
        self.happen(self.weights(), STEPS)
        sh = self.source.shipper
        self.calm, self.kills, self.fails = True, 0, 0
        sh.switching = sh.marking = sh.verifying = sh.freeze = sh.verify = sh.give_log_up = sh.lag = 0
        sh.closing, sh.hearing, sh.eager, sh.beginning = .15, .5, .6, .5
        sh.give_batch_up()
        rested = self.come_to_rest()
        if rested and any(content >= STALE and content != self.source.disk[sector]
                          for sector, content in enumerate(self.target.replica)):
            self.seen.add("differs")
        self.begin_pass()
        sh.verify = .4
        if not rested or not self.come_to_rest() or not self.a_point_comes():
            self.seen.add("no rest")
        elif self.target.replica != self.source.disk:
            self.seen.add("differs")
        if any(min(seen) >= STALE for seen in self.counted):
            self.seen.add("counts")
        return self.seen

    def sums(self):
        return self.target.good, self.rots, sum(min(seen) < STALE for seen in self.counted)


class State(stream.State):
    def line(self, run):
        sh, t, target = run.source.shipper, run.source.tracker, run.target
        b = sh.batch
        return super().line(run) + (
            f"\n    hold {sh.hold} batch {b and (sorted(b.todo), b.gate, b.reads, b.open, b.closed)} both {t.both}"
            f" frozen {sh.frozen and (sh.frozen.todo, sh.frozen.reads)}"
            f" in doubt {sorted(t.in_doubt)} packed {sh.packed.items} awaited {sorted(sh.awaited)}"
            f" suspects {sorted(sh.suspects)} known {sorted(sh.known)} unseen {sorted(sh.unseen)}"
            f"\n    window {[(c.uid, c.items) for c in sh.window]} back {run.back}"
            f" {target.mode} {target.reached} of {len(target.journal)} replica {target.replica} counted {run.counted}")


def row(name, without, weather, limit, trace, until=None, enough=0):
    """Runs it, until what is expected was seen often enough; what was seen in how many runs."""
    seen, runs = count(lambda seed, show=None: Run(seed, without, weather, show), KINDS, limit, State if trace else None, until,
                       enough)
    good, rots, found = (sum(column) for column in zip(*runs))
    print(f"{name:74} {len(runs):7} " + " ".join(f"{seen[kind]:8}" for kind in KINDS) + f" {good:9} {rots:7} {found:7}",
          flush=True)
    return seen


def main():
    args = arguments("hashes and a log together")
    faults = []

    def rows(names):
        return [name for name in names if args.only in name]

    print(f"{'of these runs:':74} {'runs':>7} " + " ".join(f"{kind:>8}" for kind in KINDS) +
          f" {'good':>9} {'rot':>7} {'found':>7}")
    for name in rows(f"the protocol, {weather}" for weather in WEATHERS):
        if any(row(name, frozenset(), name.split()[-1], args.runs, args.trace).values()):
            faults.append(f"{name}: broken")
    for name in rows(SPARE):
        if any(row(f"spare: {name}", frozenset([name]), SPARE[name], args.runs, args.trace).values()):
            faults.append(f"'{name}' is not spare")
    enough = max(1, args.runs // 1000)
    for name in rows(name for name in NEEDED if args.runs >= SHORT or args.only or name not in RARE):
        kind, weather = NEEDED[name]
        if not row(f"without: {name}", frozenset([name]), weather, VARIANT_RUNS, args.trace, kind, enough)[kind]:
            faults.append(f"nothing shows that '{name}' is needed ({kind})")
    return verdict("together", faults)


if __name__ == "__main__":
    sys.exit(main())
