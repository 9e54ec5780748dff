#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A model of rounds, of hash-first rounds and of verify (R11), taken through random interleavings.

It is the model of a tracker without a log (marks at issue, and again at completion), of rounds, of the stream with its acks and
results, of journal and applier. What goes wrong in it: writes that stay in flight over many rounds, overlap, fail, or are not
shown to the tracker; sessions that are lost with all that is under way in them; a shipper that is killed between any two steps;
an applier that is killed, alone or with its host; blocks of the replica that change by themselves (rot). STORM draws for each
run how likely each of these is; in DRIZZLE only writes go wrong, and one block is written over and over, slowly.

Looked at when a run has come to rest, before verify repairs anything and again behind a whole pass of it:
  differs   the replica is not the disk
  no rest   it does not come to rest
  marks     one was called good that is not what a power cut at that instant could have left
  counts    a difference was counted without rot
None of these may happen. Each rule of the protocol that is left out must make one of them happen, or it is listed as SPARE: then
the others do without it.

Not modelled: blocks that are written in part, several disks, hashes over several blocks, a side that is put back to an older
state (R3, R14), freezing, space that runs out.

hashfirst.py [RUNS] [--only NAME] [--trace]
  RUNS      of the protocol, in each weather (3000); a variant ends when it is broken once for every thousand of these, or after
            VARIANT_RUNS
  --only    the rows whose name it is in
  --trace   shows the first run that breaks such a row, event by event
Exit 1: the protocol is broken, or a variant is not.
"""
import random
import sys

sys.dont_write_bytecode = True

from runs import Interleaving, Killed, Trace, arguments, count, verdict

BLOCKS = 3
STEPS = 500      # of a run, before it is let come to rest
PATIENCE = 6000  # steps in which it must
WINDOW = 4       # chunks unacked
VARIANT_RUNS = 30000
DATA, HASH = "DATA", "HASH"
EQUAL, DIFFERS, UNDECIDED = "equal", "differs", "undecided"
EMPTY, POINT, BETWEEN = "EMPTY", "POINT", "BETWEEN"
STORM, DRIZZLE = "storm", "drizzle"
STALE = -1       # content of a replica that never was the disk's; what rot leaves is less, and never twice the same

# Rules, by what is seen without them, and in which weather.
NEEDED = {
    "a mark at completion": ("differs", STORM),
    "release by the result, not by the ack": ("differs", STORM),
    "results belong to a chunk, not to a block": ("marks", STORM),
    "no take while a hash is uncompared": ("marks", STORM),
    "undecided is sent again": ("differs", STORM),
    "marked, then released": ("differs", STORM),
    "a lost result releases nothing": ("differs", STORM),
    "undecided where the interval wrote": ("counts", STORM),
    "results end with the session": ("no rest", STORM),
    "results told before the commit": ("no rest", STORM),
    "no mark behind hashes": ("marks", STORM),
    "a second look": ("counts", DRIZZLE),
    "a second look waits for writes in flight": ("counts", DRIZZLE),
    "a take ends suspicion": ("counts", DRIZZLE),
    "misses are looked for before a count": ("counts", DRIZZLE),
    "late results of verify do not count": ("counts", STORM),
}
# Whose result is waited for, behind that chunk nothing was taken: the redo ends with it, or finds it as it was.
SPARE = ("undecided in a redo", "undecided between points")


class Write:
    def __init__(self, block, value, fails):
        self.block, self.value, self.fails = block, value, fails
        self.landed = None  # when


class Kernel:
    """The source without its shipper: the disk, the writes in flight, and the tracker."""

    def __init__(self, rng, without):
        self.rng, self.without = rng, without
        self.disk = [0] * BLOCKS
        self.settled = [(0, 0)] * BLOCKS  # of completed writes, the one that landed last: when, value
        self.flight = []
        self.clock = 0
        self.now, self.taken = set(), set()
        self.gap = 0
        self.cookie = 0        # the last chunk known as acked
        self.missed = False    # a completion was not shown to the tracker: counted, and found by the next poll
        self.unshown = 0       # issues that were not: such a write has no mark before it completes
        self.in_doubt = set()  # only a hint: outlives a shipper, or not
        self.misses = rng.choice((0, 0, .05, .3))
        self.written = rng.choice((1, 2, BLOCKS))  # so many of the blocks
        self.again = rng.choice((0, 0, .8))        # that who wrote a block writes it once more

    def submit(self, block=None):
        self.clock += 1
        block = self.rng.randrange(self.written) if block is None else block
        value = self.rng.choice((1, 2, 10 + self.clock))  # contents come back, too
        if self.rng.random() < self.misses:
            self.unshown += 1
        else:
            self.now.add(block)
        self.flight.append(Write(block, value, self.rng.random() < .05))

    def land(self):
        waiting = [w for w in self.flight if w.landed is None]
        if waiting:
            self.put(self.rng.choice(waiting))

    def put(self, write):
        self.clock += 1
        write.landed = self.clock
        self.disk[write.block] = write.value

    def complete(self):
        if not self.flight:
            return
        write = self.flight.pop(self.rng.randrange(len(self.flight)))
        if write.landed is None and not write.fails:
            self.put(write)
        if write.landed is not None:
            self.settled[write.block] = max(self.settled[write.block], (write.landed, write.value))
        if self.rng.random() < self.misses:
            self.missed = True
        elif "a mark at completion" not in self.without:
            self.now.add(write.block)
        if self.rng.random() < self.again:
            self.submit(write.block)

    def doubt(self):
        self.now = set(range(BLOCKS))
        self.in_doubt = set(range(BLOCKS))
        self.gap += 1

    def poll(self):
        if self.missed:
            self.missed = False
            self.doubt()

    def take(self):
        self.poll()
        self.taken |= self.now
        self.now = set()

    def marked(self, block):
        return block in self.now or block in self.taken

    def legal(self):
        """What each block may hold after a power cut now."""
        return [{self.disk[b], self.settled[b][1]} | {w.value for w in self.flight if w.block == b} for b in range(BLOCKS)]


class Chunk:
    def __init__(self, number, records, legal, verify):
        self.number, self.records, self.verify = number, records, verify
        self.legal = legal  # of the mark that ends it, or None
        self.data = {block for kind, block, _ in records if kind == DATA}
        self.hashed = {block for kind, block, _ in records if kind == HASH}  # until it is known that no result will come


class Work:
    """A round, or a batch of verify: blocks are read and sent, until all is acked and compared."""

    def __init__(self, blocks, kernel, verify):
        self.todo, self.verify = list(blocks), verify
        self.take = (kernel.gap, kernel.unshown)
        self.reads, self.records = [], []
        self.hashed = self.void = self.closed = False


class Shipper:
    """All that a kill takes away."""

    def __init__(self, kernel, habits, counted):
        self.kernel, self.rng, self.without = kernel, kernel.rng, kernel.without
        self.habits = habits      # how often it verifies, and wishes for a mark
        self.counted = counted    # differences that people are told of: what the target saw in place of the disk's content
        self.work = None
        self.window = []          # chunks unacked
        self.outbox = []          # of these, new ones
        self.awaited = {}         # chunks acked and not compared, by number
        self.late = {}            # chunks whose results are not waited for any more
        self.number = kernel.cookie
        self.suspects = {}        # blocks that differed, and the writes that were in flight then
        self.unseen = set(range(BLOCKS))  # of this pass

    def may_die(self):
        if self.rng.random() < .03:
            raise Killed

    # ---- rounds and batches ----

    def at_rest(self):
        return not self.window and (not self.awaited or "no take while a hash is uncompared" in self.without)

    def step(self, connected):
        if not self.work:
            if connected and self.at_rest():
                self.begin()
        elif not self.work.closed:
            self.go_on()
        elif self.at_rest():
            self.end()

    def begin(self):
        if self.rng.random() < self.habits["verify"]:
            blocks = [block for block in sorted(self.unseen) if self.may_look(block)]
            if blocks:
                self.work = Work(self.rng.sample(blocks, self.rng.randint(1, len(blocks))), self.kernel, True)
        elif self.kernel.now or self.kernel.taken or self.kernel.missed or self.rng.random() < .3:
            self.kernel.take()
            if "a take ends suspicion" not in self.without:
                for block in self.kernel.taken:
                    self.suspects.pop(block, None)
            self.work = Work(self.kernel.taken, self.kernel, False)

    def may_look(self, block):
        if self.kernel.marked(block):
            return False
        if "a second look waits for writes in flight" in self.without:
            return True
        return not any(write in self.kernel.flight for write in self.suspects.get(block, ()))

    def go_on(self):
        work, can = self.work, []
        if work.todo:
            can.append(self.read)
        if work.reads and len(self.window) < WINDOW:
            can.append(self.pack)
        if work.records:
            can.append(self.seal)
        if can and (work.todo or work.reads):
            self.rng.choice(can)()
        elif not work.reads:
            self.close()

    def read(self):
        block = self.work.todo.pop(self.rng.randrange(len(self.work.todo)))
        self.work.reads.append((block, self.kernel.disk[block]))

    def pack(self):
        work = self.work
        block, value = work.reads.pop(self.rng.randrange(len(work.reads)))
        kind = HASH if work.verify or block in self.kernel.in_doubt else DATA
        work.hashed |= kind == HASH
        work.records.append((kind, block, value))

    def seal(self, legal=None):
        self.number += 1
        chunk = Chunk(self.number, self.work.records, legal, self.work.verify)
        self.work.records = []
        self.window.append(chunk)
        self.outbox.append(chunk)

    def close(self):
        """All is read. The last chunk ends in a mark, if the disk is proven to be at one instant what was read."""
        work, kernel, legal = self.work, self.kernel, None
        work.closed = True
        wished = not work.verify and self.rng.random() < self.habits["mark"]
        if wished and (not work.hashed or "no mark behind hashes" in self.without):
            kernel.poll()
            if not kernel.now and work.take == (kernel.gap, kernel.unshown):
                legal = kernel.legal()
        if work.records or legal:
            self.seal(legal)

    def end(self):
        work, self.work = self.work, None
        if not work.verify and not self.awaited and (not work.void or "a lost result releases nothing" in self.without):
            self.kernel.taken.clear()  # what no chunk held as a whole: nothing, in this model

    # ---- what comes back ----

    def ack(self, number):
        while self.window and self.window[0].number <= number:
            chunk = self.window.pop(0)
            self.kernel.cookie = chunk.number
            self.may_die()
            self.kernel.taken -= chunk.data
            if chunk.hashed:
                self.awaited[chunk.number] = chunk
                if "release by the result, not by the ack" in self.without and not chunk.verify:
                    self.kernel.taken -= chunk.hashed

    def hear(self, number, results):
        chunk = self.awaited.pop(number, None)
        if not chunk and "late results of verify do not count" in self.without:
            chunk = self.late.pop(number, None)
        for block, verdict, seen in results:
            if chunk and chunk.verify:
                self.looked_at(block, verdict, seen)
            elif chunk:
                self.compared(block, verdict)
            elif verdict == EQUAL and "results belong to a chunk, not to a block" in self.without:
                self.kernel.taken.discard(block)

    def compared(self, block, verdict):
        again = verdict == DIFFERS or verdict == UNDECIDED and "undecided is sent again" not in self.without
        steps = [lambda: again and self.kernel.now.add(block), lambda: self.kernel.taken.discard(block)]
        if "marked, then released" in self.without:
            steps.reverse()
        steps[0]()
        self.may_die()
        steps[1]()
        self.kernel.in_doubt.discard(block)

    def looked_at(self, block, verdict, seen):
        """What is marked is sent anyway; what is undecided is looked at another time."""
        if "misses are looked for before a count" not in self.without:
            self.kernel.poll()
        marked = self.kernel.marked(block)
        if verdict == UNDECIDED and not marked:
            return
        if verdict == DIFFERS and not marked:
            if block not in self.suspects and "a second look" not in self.without:
                self.suspects[block] = list(self.kernel.flight)
                return
            self.kernel.now.add(block)
            self.counted.append(seen)
        self.suspects.pop(block, None)
        self.unseen.discard(block)

    # ---- what is lost ----

    def forget(self):
        """Results that are still to come will not count."""
        lost = list(self.awaited.values()) + [chunk for chunk in self.window if chunk.hashed]
        for chunk in lost:
            chunk.hashed = set()
            if chunk.verify:
                self.late[chunk.number] = chunk
        self.awaited = {}
        if self.work and self.work.verify:
            self.work = None
        elif self.work and lost:
            self.work.void = True

    def give_up_batch(self):
        if self.work and self.work.verify:
            self.forget()

    def lose(self):
        if "results end with the session" not in self.without:
            self.forget()

    def connect(self, journal):
        """What the target has and this shipper does not know is read again (R3). A HASH changed nothing."""
        last, kernel = len(journal), self.kernel
        if last > kernel.cookie and journal[-1] in self.window:
            self.ack(last)
        elif last > kernel.cookie:
            for chunk in journal[kernel.cookie:]:
                kernel.now |= chunk.data
            self.may_die()
            kernel.cookie = self.number = last


class Target:
    """Journal, replica, and the process that applies."""

    def __init__(self, rng, without, tell):
        self.rng, self.without, self.tell = rng, without, tell
        self.journal = []               # durable; chunk n is journal[n - 1]
        self.replica = [0] * BLOCKS
        self.state, self.applied, self.until = EMPTY, 0, 0  # the sidecar
        self.before = {}                # what blocks held since the last commit: a power cut may bring it back
        self.marks = self.wrong = 0
        self.told = 0                   # the last chunk whose results this process told
        self.untold = []                # results that a variant keeps back
        self.take_up()

    def take_up(self):
        self.reached = self.applied
        self.ahead, self.touched = None, set()
        self.redo = None                # up to here the replica may be ahead of what is applied

    def crash(self, power, process):
        if power:
            for block, values in self.before.items():
                self.replica[block] = self.rng.choice(values + [self.replica[block]])
        if process:
            self.told, self.untold = 0, []
        self.take_up()

    def step(self):
        if self.redo is None:
            self.redo = len(self.journal)
        if self.state == POINT:
            self.look_ahead()
        elif self.reached < (self.until if self.state == BETWEEN else len(self.journal)):
            self.apply(self.journal[self.reached])

    def give(self, chunk, results):
        if not results or chunk.number <= self.told:
            return
        self.told = chunk.number
        if "results told before the commit" in self.without and self.state == EMPTY:
            self.untold.append((chunk.number, results))
        else:
            self.tell(chunk.number, results)

    def compare(self, block, value, undecided):
        seen = self.replica[block]
        return block, UNDECIDED if undecided else EQUAL if seen == value else DIFFERS, seen

    def apply(self, chunk):
        results = []
        if self.state == EMPTY:
            undecided = chunk.number <= self.redo and "undecided in a redo" not in self.without
        else:
            undecided = "undecided between points" not in self.without
        for kind, block, value in chunk.records:
            if kind == HASH:
                results.append(self.compare(block, value, undecided))
            else:
                self.before.setdefault(block, []).append(self.replica[block])
                self.replica[block] = value
        self.give(chunk, results)
        self.reached = chunk.number
        if chunk.legal:
            self.become_point(chunk)

    def look_ahead(self):
        """For the mark that the interval needs before it may be applied (I11); compares on the way."""
        if self.ahead is None:
            self.ahead, self.touched = self.reached, set()
        if self.ahead == len(self.journal):
            return
        chunk, results = self.journal[self.ahead], []
        for kind, block, value in chunk.records:
            if kind == HASH:
                newer = block in self.touched and "undecided where the interval wrote" not in self.without
                results.append(self.compare(block, value, newer))
            else:
                self.touched.add(block)
        self.give(chunk, results)
        self.ahead = chunk.number
        if chunk.legal:
            self.state, self.until, self.ahead = BETWEEN, chunk.number, None

    def commit(self):
        self.applied, self.before = self.reached, {}
        if self.untold and self.rng.random() < .1:
            self.crash(False, True)
        for number, results in self.untold:
            self.tell(number, results)
        self.untold = []

    def become_point(self, chunk):
        self.commit()
        self.state, self.ahead = POINT, None
        self.marks += 1
        self.wrong += any(content >= STALE and content not in chunk.legal[b] for b, content in enumerate(self.replica))

    def give_point_up(self):
        if self.state == POINT:
            self.state, self.ahead = EMPTY, None

    def at_end(self):
        if self.state == POINT:
            return not any(chunk.data for chunk in self.journal[self.reached:])
        return self.reached == len(self.journal)


class Run(Interleaving):
    """Both sides, the session between them, and what happens to them."""

    EVENTS = dict(submit=6, land=5, complete=5, poll=.5, doubt=.1, ship=40, receive=40, hear=50, lose=1, connect=10, kill=.4,
                  apply=30, commit=2, crash=.4, rot=.4, give_up_batch=.7, give_point_up=.1, begin_pass=5)
    FAULTS = ("doubt", "lose", "kill", "crash", "rot", "give_up_batch", "give_point_up")
    SLOW = (("land", "complete"), ("complete",), ("receive", "hear"), ("connect",), ("apply", "commit"), ("commit",))
    GENTLE = dict(submit=.3, land=7, complete=2, **dict.fromkeys(FAULTS, 0) | dict(give_up_batch=1))
    CALM = dict(land=2, complete=8, poll=1, ship=50, receive=20, hear=20, connect=14, apply=30, commit=2)

    def __init__(self, seed, without, weather, trace=None):
        self.rng = rng = random.Random(seed)
        self.weather, self.trace = weather, trace
        self.counted, self.rots = [], 0
        self.kernel = Kernel(rng, without)
        self.habits = dict(verify=rng.choice((.1, .5, .8)), mark=rng.choice((.1, .5, 1)))
        self.shipper = Shipper(self.kernel, self.habits, self.counted)
        self.target = Target(rng, without, self.tell)
        self.session, self.wire, self.back = False, [], []
        if rng.random() < .5:
            self.target.state = POINT
        if weather == DRIZZLE:
            self.kernel.written, self.kernel.again = 1, .8
        elif rng.random() < .6:  # the source crashed, or the replica travelled by car
            self.kernel.doubt()
            self.target.replica = [rng.choice((0, STALE)) for _ in range(BLOCKS)]
        self.events = dict(submit=self.kernel.submit, land=self.kernel.land, complete=self.kernel.complete,
                           poll=self.kernel.poll, doubt=self.kernel.doubt, apply=self.target.step, commit=self.target.commit,
                           give_point_up=self.target.give_point_up)
        for name in ("ship", "receive", "hear", "lose", "connect", "kill", "crash", "rot", "give_up_batch", "begin_pass"):
            self.events[name] = getattr(self, name)

    # ---- events ----

    def ship(self):
        self.shipper.step(self.session)
        if self.session:
            self.wire += self.shipper.outbox
        self.shipper.outbox = []

    def receive(self):
        if self.wire:
            chunk = self.wire.pop(0)
            self.target.journal.append(chunk)
            self.back.append((chunk.number, None))

    def tell(self, number, results):
        """To whatever session there is."""
        if self.session:
            self.back.append((number, results))

    def hear(self):
        if self.back:
            number, results = self.back.pop(0)
            if results is None:
                self.shipper.ack(number)
            else:
                self.shipper.hear(number, results)

    def lose(self):
        if self.session:
            self.cut()
            self.shipper.lose()

    def connect(self):
        if not self.session:
            self.shipper.connect(self.target.journal)
            self.session, self.wire = True, list(self.shipper.window)

    def kill(self):
        self.cut()
        if self.rng.random() < .5:
            self.kernel.in_doubt = set()
        self.shipper = Shipper(self.kernel, self.habits, self.counted)

    def crash(self):
        self.target.crash(self.rng.random() < .5, self.rng.random() < .7)

    def rot(self):
        self.rots += 1
        self.target.replica[self.rng.randrange(BLOCKS)] = STALE - self.rots

    def give_up_batch(self):
        self.shipper.give_up_batch()

    def begin_pass(self):
        self.shipper.unseen = set(range(BLOCKS))

    # ---- a run ----

    def event(self, name):
        return self.events[name]

    def weights(self):
        weights = dict(self.EVENTS)
        if self.weather == DRIZZLE:
            weights.update(self.GENTLE)
            return weights
        for name in self.FAULTS:
            weights[name] *= self.rng.choice((0, .3, 1, 3))
        self.slow_down(weights, self.SLOW)
        weights["submit"] *= self.rng.choice((.05, .2, 1))
        return weights

    def rests(self):
        kernel, shipper = self.kernel, self.shipper
        return self.session and self.target.at_end() and not (
            kernel.flight or kernel.now or kernel.taken or kernel.missed or shipper.work or shipper.window or shipper.awaited or
            shipper.unseen or self.wire or self.back)

    def come_to_rest(self, verify):
        for _ in range(0, PATIENCE, 20):
            if not verify:
                self.shipper.unseen = set()
            self.happen(self.CALM, 20)
            if self.rests():
                return True
        return False

    def run(self):
        """What it showed: names as in NEEDED."""
        seen = set()
        self.happen(self.weights(), STEPS)
        self.kernel.again = 0
        self.habits.update(verify=.4, mark=1)
        rested = self.come_to_rest(False)
        if any(content >= STALE and content != self.kernel.disk[b] for b, content in enumerate(self.target.replica)) and rested:
            seen.add("differs")
        self.give_up_batch()
        self.begin_pass()
        if not rested or not self.come_to_rest(True):
            seen.add("no rest")
        elif self.target.replica != self.kernel.disk:
            seen.add("differs")
        if self.target.wrong:
            seen.add("marks")
        if any(content >= STALE for content in self.counted) or len(set(self.counted)) < len(self.counted):
            seen.add("counts")
        return seen

    def sums(self):
        return self.target.marks, self.rots, sum(content < STALE for content in self.counted)


class State(Trace):
    def line(self, run):
        kernel, shipper, target, work = run.kernel, run.shipper, run.target, run.shipper.work
        doing = "idle" if not work else ("verify" if work.verify else "round") + (", all read" if work.closed else "")
        flight = [f"{w.block}={w.value}{' landed' if w.landed else ''}" for w in kernel.flight]
        window = [(c.number, c.records, "MARK" if c.legal else "") for c in shipper.window]
        return (f"disk {kernel.disk} in flight {flight} now {sorted(kernel.now)} taken {sorted(kernel.taken)} gap {kernel.gap}"
                f" | {doing} window {window} awaited {sorted(shipper.awaited)} suspects {sorted(shipper.suspects)}"
                f" | {'session' if run.session else 'no session'} back {run.back}"
                f" | {target.state} {target.reached} of {len(target.journal)} replica {target.replica} counted {run.counted}")


def row(name, without, weather, limit, trace, until=None, enough=0):
    """Runs it, until what is expected was seen often enough; what was seen in how many runs."""
    seen, runs = count(lambda seed, show=None: Run(seed, without, weather, show), ("differs", "no rest", "marks", "counts"),
                       limit, State if trace else None, until, enough)
    marks, rots, found = (sum(column) for column in zip(*runs))
    print(f"{name:56} {len(runs):7} {seen['differs']:8} {seen['no rest']:8} {seen['marks']:6} {seen['counts']:7} "
          f"{marks:9} {rots:7} {found:7}", flush=True)
    return seen


def main():
    args = arguments("hash-first rounds and verify")
    faults = []

    def rows(names):
        return [name for name in names if args.only in name]

    print(f"{'of these runs:':56} {'runs':>7} {'differs':>8} {'no rest':>8} {'marks':>6} {'counts':>7} "
          f"{'all marks':>9} {'rot':>7} {'found':>7}")
    for name in rows(f"the protocol, {weather}" for weather in (STORM, DRIZZLE)):
        if any(row(name, frozenset(), name.split()[-1], args.runs, args.trace).values()):
            faults.append(f"{name}: broken")
    for name in rows([" and ".join(SPARE)]):
        if any(row(f"spare: {name}", frozenset(SPARE), STORM, args.runs, args.trace).values()):
            faults.append(f"one of '{name}' is not spare")
    for name in rows(NEEDED):
        kind, weather = NEEDED[name]
        enough = max(1, args.runs // 1000)
        if not row(f"without: {name}", frozenset([name]), weather, VARIANT_RUNS, args.trace, kind, enough)[kind]:
            faults.append(f"nothing shows that '{name}' is needed ({kind})")
    return verdict("hashfirst", faults)


if __name__ == "__main__":
    sys.exit(main())
