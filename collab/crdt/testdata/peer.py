"""A pycrdt document that edits beside another one: one JSON command a line on stdin, one JSON answer a line on stdout."""

import base64
import json
import random
import sys

from pycrdt import Array, Doc, Map, Text

WORDS = ["a", "b", "hello", " ", "\n", "é", "日本", "x\"y", "long enough to be cut in the middle"]


def b64(b):
    return base64.b64encode(b).decode()


class Peer:
    def __init__(self, client, seed):
        self.rng = random.Random(seed)
        self.doc = Doc(client_id=client)
        self.roots = {
            "t": self.doc.get("t", type=Text),
            "a": self.doc.get("a", type=Array),
            "m": self.doc.get("m", type=Map),
        }
        self.updates = []
        self.doc.observe(lambda e: self.updates.append(e.update))

    def value(self, depth=0):
        n = self.rng.randrange(12 if depth < 2 else 9)
        if n == 0:
            return None
        if n == 1:
            return True
        if n == 2:
            return self.rng.randrange(-500, 500)
        if n == 3:
            return self.rng.choice([1.5, 1.1, 2.0**31 + 0.5])
        if n == 4:
            return {"k": [1, "x"]}
        if n == 9:
            return Text(self.rng.choice(WORDS))
        if n == 10:
            return Array([self.value(depth + 1)])
        if n == 11:
            return Map({"id": self.value(depth + 1), "source": self.value(depth + 1)})
        return self.rng.choice(WORDS)

    def target(self):
        t = self.rng.choice(list(self.roots.values()))
        while self.rng.randrange(3) > 0:
            if isinstance(t, Array):
                kids = [x for x in t if isinstance(x, (Array, Map, Text))]
            elif isinstance(t, Map):
                kids = [t[k] for k in sorted(t.keys()) if isinstance(t[k], (Array, Map, Text))]
            else:
                kids = []
            if not kids:
                return t
            t = self.rng.choice(kids)
        return t

    def edit(self):
        t = self.target()
        if isinstance(t, Text):
            # Offsets are in bytes; halves of characters are not touched.
            s = str(t)
            at = self.rng.randrange(len(s) + 1)
            start = len(s[:at].encode())
            if s[at:] and self.rng.randrange(3) == 0:
                end = at + self.rng.randrange(1, min(8, len(s) - at) + 1)
                del t[start : len(s[:end].encode())]
            else:
                t.insert(start, self.rng.choice(WORDS))
        elif isinstance(t, Array):
            if len(t) and self.rng.randrange(3) == 0:
                del t[self.rng.randrange(len(t))]
            else:
                t.insert(self.rng.randrange(len(t) + 1), self.value())
        else:
            key = self.rng.choice(["id", "source", "k1", "k2", "é"])
            if key in t and self.rng.randrange(3) == 0:
                del t[key]
            else:
                t[key] = self.value()

    def state(self):
        return {
            "content": {k: str(v) if isinstance(v, Text) else v.to_py() for k, v in self.roots.items()},
            "sv": b64(self.doc.get_state()),
            "full": b64(self.doc.get_update()),
        }


def answer(peer, command):
    if command["op"] == "edit":
        with peer.doc.transaction():
            for _ in range(command["n"]):
                peer.edit()
    elif command["op"] == "apply":
        peer.doc.apply_update(base64.b64decode(command["update"]))
    elif command["op"] == "diff":
        return {"update": b64(peer.doc.get_update(base64.b64decode(command["update"])))}
    elif command["op"] == "state":
        return peer.state()
    sent, peer.updates = peer.updates, []
    return {"updates": [b64(u) for u in sent]}


peer = None
for line in sys.stdin:
    command = json.loads(line)
    if command["op"] == "new":
        peer = Peer(command["client"], command["seed"])
    print(json.dumps(answer(peer, command), default=lambda b: {str(i): x for i, x in enumerate(b)}), flush=True)
