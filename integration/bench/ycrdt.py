"""Runs an editing session and workloads on pycrdt: JSON {session, workloads} on stdin, JSON of milliseconds and sizes on stdout."""

import gc
import json
import sys
import time

from pycrdt import Array, Doc, Map, Text

TYPES = {"text": Text, "array": Array, "map": Map}


def ms(f):
    gc.collect()
    start = time.perf_counter()
    f()
    return (time.perf_counter() - start) * 1000


def median(f):
    return sorted(ms(f) for _ in range(5))[2]


def change_text(text, at, deleted, inserted):
    if deleted:
        del text[at : at + deleted]
    if inserted:
        text.insert(at, inserted)


def replay(doc, edits):
    text = doc.get("text", type=Text)
    for at, deleted, inserted in edits:
        with doc.transaction():
            change_text(text, at, deleted, inserted)


def session(edits):
    doc = Doc(client_id=1)
    out = {"replay": ms(lambda: replay(doc, edits))}
    updates = []
    recorded = Doc(client_id=1)
    recorded.observe(lambda e: updates.append(e.update))
    replay(recorded, edits)
    other = Doc(client_id=2)

    def apply():
        for u in updates:
            other.apply_update(u)

    out["updates"] = ms(apply)
    out["encode"] = median(doc.get_update)
    full = doc.get_update()
    out["load"] = median(lambda: Doc(client_id=10**9).apply_update(full))
    out["v1"], out["v2"] = len(full), 0
    out["length"] = len(doc.get("text", type=Text))
    return out


def change(doc, kind, edit):
    at, deleted, value = edit
    root = doc.get("root", type=TYPES[kind])
    if kind == "text":
        change_text(root, at, deleted, value)
    elif kind == "array":
        root[at:at] = value if isinstance(value, list) else [value]
    else:
        root["v"] = value


def one(w):
    a, b = Doc(client_id=1), Doc(client_id=2)
    a.observe(lambda e: b.apply_update(e.update))
    return ms(lambda: [change(a, w["Type"], c) for c in w["Edits"]]), b


def two(w):
    a, b = Doc(client_id=1), Doc(client_id=2)
    text = a.get("root", type=Text)
    if w["Start"]:
        text.insert(0, w["Start"])
    b.apply_update(a.get_update())
    first, second = [], []
    a.observe(lambda e: first.append(e.update))
    b.observe(lambda e: second.append(e.update))

    def run():
        for c in w["Edits"]:
            change(a, w["Type"], c)
        for c in w["Others"]:
            change(b, w["Type"], c)
        mine, theirs = list(first), list(second)
        for u in mine:
            b.apply_update(u)
        for u in theirs:
            a.apply_update(u)

    return ms(run), a


def many(w):
    docs, updates = [], []
    for i, c in enumerate(w["Edits"]):
        doc = Doc(client_id=i + 1)
        change(doc, w["Type"], c)
        docs.append(doc)
        updates.append(doc.get_update())

    def run():
        for u in updates:
            docs[0].apply_update(u)

    return ms(run), docs[0]


def workload(w):
    took, doc = {"one": one, "two": two, "many": many}[w["Kind"]](w)
    encode = median(doc.get_update)
    full = doc.get_update()
    load = median(lambda: Doc(client_id=10**9).apply_update(full))
    return {"time": took, "encode": encode, "load": load, "size": len(full)}


given = json.load(sys.stdin)
json.dump({"session": session(given["session"]), "workloads": [workload(w) for w in given["workloads"]]}, sys.stdout)
