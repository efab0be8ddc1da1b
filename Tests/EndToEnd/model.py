"""What voters were told, and which tallies are compatible with it.

A vote is *acked* (it must be in every later tally, once), *unknown* (sent, no answer: it may be in the tally or not)
or *refused* (it must not be). `faults` compares a tally with that; an empty list means that nobody was lied to.
"""

import collections


class StandardModel:
    """A STANDARD poll whose votes all carry a key of their own."""

    # A node among others sends a keyed vote again that a lost link left unknown: then its first answer is `duplicate`.
    nodes_repeat = False

    def __init__(self, options):
        self.options = options
        self.option_of = {}
        self.acked = set()
        self.unknown = set()
        self.lies = []

    def sent(self, key, option):
        self.option_of[key] = option
        if key not in self.acked:
            self.unknown.add(key)

    def refused(self, key, sent_before):
        """Not applied by this attempt; an earlier attempt without an answer may still have been."""
        if not sent_before:
            self.unknown.discard(key)

    def ack(self, key, status, sent_before):
        if status not in ("counted", "duplicate"):
            self.lies.append(f"{key}: a keyed STANDARD vote was answered {status}")
        if status == "duplicate" and not sent_before and not self.nodes_repeat:
            self.lies.append(f"{key}: the first attempt was called a duplicate")
        if status == "counted" and key in self.acked:
            self.lies.append(f"{key}: counted twice")
        self.acked.add(key)
        self.unknown.discard(key)

    def faults(self, votes, total):
        found = list(self.lies)
        certain = collections.Counter(self.option_of[key] for key in self.acked)
        possible = collections.Counter(self.option_of[key] for key in self.unknown)
        for option in range(self.options):
            least, most = certain[option], certain[option] + possible[option]
            if votes[option] < least:
                found.append(f"option {option}: {votes[option]} votes, but {least} were acknowledged: votes are lost")
            if votes[option] > most:
                found.append(f"option {option}: {votes[option]} votes, but at most {most} were cast: votes count twice")
        if total != sum(votes):
            found.append(f"totalVotes is {total}, the options add up to {sum(votes)}")
        return found


class UniqueModel:
    """A UNIQUE poll; each voter has at most one vote without an answer at any time."""

    def __init__(self, options):
        self.options = options
        self.choice = {}  # voter → the last acknowledged choice
        self.attempt = {}  # voter → a choice sent and not answered
        self.lies = []

    def sent(self, voter, option):
        self.attempt[voter] = option

    def refused(self, voter, sent_before):
        if not sent_before:
            self.attempt.pop(voter, None)

    def ack(self, voter, status, sent_before):
        option = self.attempt.pop(voter)
        before = self.choice.get(voter)
        if before == option:
            allowed = {"same"}
        else:
            allowed = {"counted" if before is None else "moved"}
            if sent_before:
                allowed.add("same")
        if status not in allowed:
            self.lies.append(f"{voter}: {before} → {option} was answered {status}, expected {sorted(allowed)}")
        self.choice[voter] = option

    def faults(self, votes, total):
        found = list(self.lies)
        certain, possible = collections.Counter(), collections.Counter()
        new = 0
        for voter in self.choice.keys() | self.attempt.keys():
            if voter not in self.attempt:
                certain[self.choice[voter]] += 1
                continue
            if voter not in self.choice:
                new += 1
                possible[self.attempt[voter]] += 1
            elif self.choice[voter] == self.attempt[voter]:
                certain[self.choice[voter]] += 1
            else:
                possible[self.choice[voter]] += 1
                possible[self.attempt[voter]] += 1
        for option in range(self.options):
            least, most = certain[option], certain[option] + possible[option]
            if not least <= votes[option] <= most:
                found.append(f"option {option}: {votes[option]} votes, possible are {least} to {most}")
        if not len(self.choice) <= total <= len(self.choice) + new:
            found.append(f"{total} voters, possible are {len(self.choice)} to {len(self.choice) + new}")
        if total != sum(votes):
            found.append(f"totalVotes is {total}, the options add up to {sum(votes)}")
        return found
