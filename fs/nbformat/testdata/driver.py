"""Answers for each notebook on standard input what Python's nbformat makes of it.

Each line is an object with the base64 of a file; the answer is an object in a line too. Cell identifiers are numbered
instead of random, so that both sides can be compared byte for byte.
"""

import base64
import hmac
import hashlib
import itertools
import json
import logging
import sys
import warnings

import nbformat
import nbformat.sign
import nbformat.v4.convert
import nbformat.validator

KEY = b"differential"


def number_identifiers():
    counter = itertools.count()
    numbered = lambda: "id-%d" % next(counter)
    nbformat.v4.convert.random_cell_id = numbered
    nbformat.validator.generate_corpus_id = numbered


def written(notebook):
    """Writes without validate, which would repair identifiers first."""
    return encode(nbformat.versions[notebook["nbformat"]].writes_json(notebook))


def encode(text):
    if not text.endswith("\n"):
        text += "\n"
    return base64.b64encode(text.encode("utf8")).decode("ascii")


def attempt(answer, name, action):
    """Stores the result of the action, or null and the exception."""
    try:
        answer[name] = action()
    except RecursionError:
        raise
    except Exception as error:
        answer[name] = None
        answer[name + "_error"] = "%s: %s" % (type(error).__name__, str(error)[:200])


def repaired_is_valid(notebook):
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError:
        return False
    return True


def digest(notebook):
    mac = hmac.HMAC(KEY, digestmod=hashlib.sha256)
    for piece in nbformat.sign.yield_everything(notebook):
        mac.update(piece)
    return mac.hexdigest()


def examine(data):
    text = data.decode("utf8")
    answer = {}

    def as_it_is():
        return nbformat.reader.reads(text)

    def upgraded():
        number_identifiers()
        return nbformat.convert(as_it_is(), 4)

    def current():
        number_identifiers()
        return nbformat.v4.upgrade(nbformat.convert(as_it_is(), 4))

    attempt(answer, "valid", lambda: nbformat.validator.isvalid(as_it_is()))
    attempt(answer, "upgraded_valid", lambda: nbformat.validator.isvalid(upgraded()))
    attempt(answer, "repaired_valid", lambda: repaired_is_valid(upgraded()))
    attempt(answer, "rewritten", lambda: written(as_it_is()))
    attempt(answer, "upgraded", lambda: written(upgraded()))
    attempt(answer, "repaired", lambda: encode(nbformat.writes(upgraded())))
    attempt(answer, "current", lambda: written(current()))
    attempt(answer, "digest", lambda: digest(as_it_is()))
    return answer


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    print(json.dumps({"nbformat": nbformat.__version__}), flush=True)
    for line in sys.stdin:
        data = base64.b64decode(json.loads(line)["data"])
        print(json.dumps(examine(data)), flush=True)


if __name__ == "__main__":
    main()
