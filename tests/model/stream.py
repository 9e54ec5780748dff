#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A model of streaming: the kernel module's write log and dirty map, rounds, and the stream, taken through random interleavings.

It is the model of a tracker that captures writes as they are issued, of several disks with one log (source.py), and of the
shipper that follows the log and, after a gap, reads what is marked (shipper.py). Writes are of some sectors, are split,
merged, overlap in flight and land in any order and in parts; they fail with nothing, a part or all of them on the disk, are
taken back (requeued) and issued again, perhaps with others, or end without. The log is full now and then, is switched off and
on; disks are attached with writes in flight; sessions are lost with all that is under way in them; the shipper is killed
between any two steps; source (memory and disk) and its log are put back to an older state; the target's power is cut. STORM
draws for each run how likely each of these is.

Looked at as the target takes a chunk for durable, and when the run has come to rest:
  differs   the replica is not the disk
  no rest   it does not come to rest, or no mark is good there
  marks     a mark was called good, or the end of a chunk, that is not what a power cut at that instant could have left on all the
            disks: of each sector the last completed write, or one in flight
  depends   a good one has a write, but not another that was completed before the first was submitted, on any disk
None of these may happen. Each rule of the protocol that is left out must make one of them happen, or it is listed as SPARE: then
the others do without it. ASSUMED is what the kernel has to do for us; without it all this is worth nothing.

Not modelled: hash-first rounds and verify (hashfirst.py), undo, discards, write caches, completions that are not shown.

stream.py [RUNS] [--only NAME] [--trace]
  RUNS      of the protocol, in each weather (3000); a variant ends when it is broken once for every thousand of these, or after
            VARIANT_RUNS; with fewer than SHORT those in RARE are left out
  --only    the rows whose name it is in
  --trace   shows the first run that breaks such a row, event by event
Exit 1: the protocol is broken, or a variant is not.
"""
import copy
import random
import sys

sys.dont_write_bytecode = True

from source import ALL, BLOCK, DISKS, SECTORS, Bio, Off, Request, Source, Tracker, disk_of
from runs import Interleaving, Trace, arguments, count, verdict
from shipper import Shipper

LONGEST = 6             # sectors of a write
STEPS = 500             # of a run, before it is let come to rest
PATIENCE = 6000         # steps in which it must
VARIANT_RUNS = 30000
KINDS = ("differs", "no rest", "marks", "depends")

# Storm: how often things happen is drawn. In the others some of it is not.
STORM, SWITCHES, PLENTY, OVERFLOW, DEATHS, RETURNS, PARTS = (
    "storm", "switches", "plenty", "overflow", "deaths", "returns", "parts")
CALMLY = dict(take_back=0, end_queued=0, steal=0, strange=0, attach=0, revert=0, crash=0, fails=0, torn=0, collide=0, room=50)
WEATHERS = {
    STORM: {},
    SWITCHES: CALMLY | dict(switching=.1, attach=2, submit=3, kill=0, lose=0),             # the log goes off and on, disks come
    PLENTY: CALMLY | dict(coalesce=True, size=80, kills=0, kill=0, lose=0, verifying=0, switching=0, ship=25,
                   submit=8),  # it all streams
    OVERFLOW: CALMLY | dict(size=14, submit=4, kills=0, kill=0, lose=0, verifying=0, switching=0),  # it streams until it cannot
    DEATHS: CALMLY | dict(kills=.2, hearing=.05, size=20),                                # the shipper's, at the worst moment
    RETURNS: dict(take_back=8, end_queued=1, steal=1, collide=.3, kill=0, revert=0, crash=0),  # requests come back
    PARTS: CALMLY | dict(collide=1, parts=.5, written=BLOCK, size=80, kill=0, lose=0, verifying=0, switching=0),  # in parts
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
    "reads before all behind F": "differs",
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
        "nothing is good from a round's first read to its end", "folding is counted", "a coalesced chunk is no prefix")
SHORT = 1000  # fewer runs than these
# Each alone, and why.
SPARE = {
    "the last of those that overlap is marked": "it was in flight at the take that has another one's mark: the fence waits",
    "a strange command is doubt when it is issued": "it is in flight then, and all is marked again when it ends",
    "without room among the requests in flight it is marked": "it is marked when it completes unknown",
    "the cookie after what it stands for": "the log is released before the blocks: so at worst blocks are read again",
    "the log is released before the blocks": "the cookie comes last: so their chunk is on the rewind list",
}
ASSUMED = {
    "what was taken back is issued again, or completes": ("differs", RETURNS),
}
# What these are for is points: how many of the module's own marks are good without them, against with them.
POINTS = {
    "a closing mark": (0, OVERFLOW),
    "its count is that before the gap": (0, OVERFLOW),
    "a record is kept free for it": (.8, OVERFLOW),
    "a take arms it again": (.9, STORM),
}


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


class Run(Interleaving):
    TRACKER, SHIPPER, TARGET, WEATHERS = Tracker, Shipper, Target, WEATHERS
    EVENTS = dict(submit=8, merge=2, issue=10, copied=12, land=10, complete=8, take_back=2, end_queued=.3, steal=.5, strange=.3,
                  late=3, ship=90, receive=30, sync=12, hear=30, lose=.7, connect=10, kill=.5, apply=12, commit=3, crash=.5,
                  attach=.3, snapshot=.3, revert=.3)
    FAULTS = ("take_back", "end_queued", "steal", "strange", "lose", "kill", "crash", "attach", "revert")
    SLOW = (("land", "complete"), ("complete",), ("copied",), ("receive", "hear"), ("sync",), ("connect",), ("ship",), ("issue",))
    CALM = dict(merge=1, issue=6, copied=9, land=3, complete=9, late=9, ship=60, receive=20, sync=12, hear=20, connect=12,
                apply=20, commit=2)

    def __init__(self, seed, without, weather=STORM, trace=None):
        self.rng = random.Random(seed)
        self.weather = self.WEATHERS[weather]
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
        self.source.shipper = self.SHIPPER(self, self.source.tracker)
        self.target = self.TARGET(self)
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
        self.source.shipper = self.SHIPPER(self, self.source.tracker)
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

    def event(self, name):
        return getattr(self, name)

    def weights(self):
        weights = dict(self.EVENTS)
        for name in self.FAULTS:
            weights[name] *= self.rng.choice((0, 0, .3, 1, 3))
        self.slow_down(weights, self.SLOW)
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

    def sums(self):
        return self.target.good, self.target.own


class State(Trace):
    def line(self, run):
        s, t, sh, r = run.source, run.source.tracker, run.source.shipper, run.source.shipper.round
        requests = [f"{q.begin}-{q.end - 1}={'/'.join(str(n) for n in sorted({b.number for b in q.bios}))} {q.state}"
                    f"{' back' if q.back is not None else ''}{' landed ' + str(sorted(q.landed)) if q.landed else ''}"
                    for q in s.requests]
        ring = [f"{q.position}:{q.kind[0]}{q.begin}={q.content}{'' if q.published else '?'}" for q in t.ring]
        doing = "idle" if not r else (f"round gap {r.take.gap} F {r.take.position} todo {sorted(r.todo)} read {r.reads}"
                                      f" clip {sorted(r.clip)}{'' if r.open else ' fence'}")
        chunks = [f"{c.uid}{'*' if c.legal else ''}" for c in sh.window]
        return (f"\n    disk {s.disk} {requests}\n    now {sorted(t.now)} taken {sorted(t.taken)} doubt {sorted(t.doubtful)}"
                f" gap {t.gap}"
                f" log {'on' if t.on else 'off'} {t.tail}-{t.head} {ring}\n    "
                f"{type(sh.command).__name__} {doing} at {sh.position}"
                f" good gap {sh.good_gap} behind {sh.behind} chunk {sh.chunk.items} window {chunks} cookie {t.cookie}\n    "
                f"{'session' if run.session else 'no session'} journal {[c.uid for c in run.target.journal][-4:]}"
                f" state {run.target.state} {sorted(run.seen)}")

def row(name, without, weather, limit, trace, until=None, enough=0):
    """Runs it, until what is expected was seen often enough; what was seen in how many runs, and the good closing marks."""
    seen, runs = count(lambda seed, show=None: Run(seed, without, weather, show), KINDS, limit, State if trace else None, until,
                       enough)
    good, own = (sum(column) for column in zip(*runs))
    print(f"{name:66} {len(runs):7} " + " ".join(f"{seen[kind]:8}" for kind in KINDS) + f" {good:9} {own:8}", flush=True)
    return seen, own


def main():
    args = arguments("streaming")
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
    return verdict("stream", faults)


if __name__ == "__main__":
    sys.exit(main())
