# SPDX-License-Identifier: GPL-2.0-or-later
"""Of the model of streaming (stream.py): the source without its shipper: disks, requests, and the kernel module's tracker."""
import copy

DISKS = 2
BLOCK = 4               # sectors
SECTORS = 2 * BLOCK     # of a disk; they are numbered over all disks
ALL = DISKS * SECTORS
BLOCKS = ALL // BLOCK
LOG, READ, MARK, SKIP = "LOG", "READ", "MARK", "SKIP"


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
        self.tracker = run.TRACKER(run)
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
