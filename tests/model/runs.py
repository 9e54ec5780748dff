# SPDX-License-Identifier: GPL-2.0-or-later
"""What the models share: a run is a random order of events; many are counted by what they showed, and the first bad one can be seen."""
import argparse


class Killed(Exception):
    """The shipper was, in the middle of an event."""


class Interleaving:
    """Has rng, trace (None: none), session, wire, back; event(name) to be called, receive(), kill()."""

    def happen(self, weights, steps):
        for name in self.rng.choices(list(weights), list(weights.values()), k=steps):
            try:
                self.event(name)()
            except Killed:
                name += ", killed"
                self.kill()
            if self.trace:
                self.trace(name, self)

    def slow_down(self, weights, slow):
        for names in slow:
            factor = self.rng.choice((.1, .3, 1, 1))
            for name in names:
                weights[name] *= factor

    def cut(self):
        """Some of what was sent still arrives, nothing of what was answered."""
        for _ in range(self.rng.randint(0, len(self.wire))):
            self.receive()
        self.session, self.wire, self.back = False, [], []


class Trace:
    """A line for each event that changed something: line(run)."""

    def __init__(self):
        self.last = ""

    def __call__(self, name, run):
        line = self.line(run)
        if line != self.last:
            print(f"{name:14} {line}")
            self.last = line


def count(make, kinds, limit, trace, until=None, enough=0):
    """Runs make(seed[, trace]), until what is expected was seen often enough: in how many runs each kind was, and the runs."""
    seen, runs = dict.fromkeys(kinds, 0), []
    while len(runs) < limit and (not until or seen[until] < enough):
        run = make(len(runs))
        showed = run.run()
        if showed and trace and not any(seen.values()):
            make(len(runs), trace()).run()
        for kind in showed:
            seen[kind] += 1
        runs.append(run.sums())
    return seen, runs


def arguments(what):
    parser = argparse.ArgumentParser(description=f"Model of {what}; see the head of this file.")
    parser.add_argument("runs", nargs="?", type=int, default=3000, metavar="RUNS")
    parser.add_argument("--only", default="", metavar="NAME")
    parser.add_argument("--trace", action="store_true")
    return parser.parse_args()


def verdict(model, faults):
    for fault in faults:
        print(f"{model}: {fault}")
    return bool(faults)
