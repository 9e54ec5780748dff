# SPDX-License-Identifier: GPL-2.0-or-later
"""Of the model of streaming (stream.py): the shipper: it follows the log, makes rounds, fills chunks and hears of them."""
from runs import Killed
from source import BLOCK, BLOCKS, DISKS, LOG, MARK, READ, SKIP, Off, Part, Take, disk_of

WINDOW = 4              # chunks unacked


class Chunk:
    def __init__(self):
        self.uid = 0
        self.items = []       # kind, begin, content
        self.release = set()  # blocks that were read, whose ack releases them
        self.through = 0      # the log up to here
        self.legal = None     # of its end, if that is called good
        self.own = False      # a mark of the module's own

    def extents(self):
        """Of what it changes."""
        return [(begin, begin + len(content)) for kind, begin, content in self.items if kind in (LOG, READ)]


class Round:
    def __init__(self, take, tracker):
        self.take = take
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
        self.marking = run.drawn("marking", (.02, .1, .3))
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
        if self.held(record.position):
            return
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

    def held(self, position):
        return self.round and position >= self.round.take.position and self.rule("reads before all behind F")

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
        """Overwritten before the next mark, it may be left out: no end of a chunk is a state until what overwrote it is there."""
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
        self.chunk.items.append((READ, block * BLOCK, r.reads.pop(block)))
        self.chunk.release.add(block)

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
