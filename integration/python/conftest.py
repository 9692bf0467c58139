"""Runs Jupyter Server's own REST tests over the network, against a server that somebody else has started.

The tests come from the source distribution of jupyter-server, unchanged; this file takes the place of their conftest.py. It
supplies the fixtures of pytest-jupyter that make sense for a foreign server. A test that asks for more, such as the
server's Python objects, is skipped.

The environment says where the server is:

FOREIGN_URL     its address, with a slash at the end
FOREIGN_TOKEN   a token that it accepts
FOREIGN_ROOT    where this machine sees its root; tests make their files there
FOREIGN_DATA    its Jupyter data folder, for kernel specs
FOREIGN_REPORT  a file for the results: one JSON object a line, with the test's id, its outcome and the reason
"""

import asyncio
import inspect
import json
import os
import shutil
import urllib.parse
from pathlib import Path

import pytest
from tornado.escape import url_escape
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

URL = os.environ["FOREIGN_URL"]
TOKEN = os.environ["FOREIGN_TOKEN"]
ROOT = Path(os.environ["FOREIGN_ROOT"])
DATA = Path(os.environ["FOREIGN_DATA"])
REPORT = Path(os.environ["FOREIGN_REPORT"])

# Fixtures with which a test reaches into the process of the server.
IN_PROCESS = {
    "extension_manager",
    "jp_config_dir",
    "jp_configurable_serverapp",
    "jp_nbconvert_templates",
    "jp_web_app",
    "monkeypatch",
}

# The folders and names that the contents tests import and look for: folder, then the name of the notebook, text and blob in it.
dirs = [
    ("", "inroot"),
    ("Directory with spaces in", "inspace"),
    ("unicodé", "innonascii"),
    ("foo", "a"),
    ("foo", "b"),
    ("foo", "name with spaces"),
    ("foo", "unicodé"),
    ("foo/bar", "baz"),
    ("ordering", "A"),
    ("ordering", "b"),
    ("ordering", "C"),
    ("å b", "ç d"),
]

EMPTY_NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


# How tests are chosen, run and reported.


def pytest_addoption(parser):
    parser.addoption("--integration_tests", default=False, type=bool)


def pytest_configure(config):
    for marker in ("integration_test", "flaky"):
        config.addinivalue_line("markers", marker)
    REPORT.write_text("")


def pytest_runtest_setup(item):
    used = IN_PROCESS.intersection(item.fixturenames)
    if used:
        pytest.skip(f"reaches into the server's process: {', '.join(sorted(used))}")
    if not {"jp_fetch", "jp_ws_fetch"}.intersection(item.fixturenames):
        pytest.skip("sends no request")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a coroutine test on the loop of its fixtures."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    loop = pyfuncitem.funcargs["jp_asyncio_loop"]
    loop.run_until_complete(pyfuncitem.obj(**arguments))
    return True


def pytest_collection_modifyitems(items):
    for item in items:
        if "jp_asyncio_loop" not in item.fixturenames:
            item.fixturenames.append("jp_asyncio_loop")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Writes a line when the test has an outcome: when it ran, or when something before or after it did not succeed."""
    report = (yield).get_result()
    if report.when != "call" and report.outcome == "passed":
        return
    reason = ""
    if report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    elif report.outcome == "failed":
        reason = report.longreprtext
    line = {"id": item.nodeid, "when": report.when, "outcome": report.outcome, "reason": reason}
    with REPORT.open("a") as f:
        f.write(json.dumps(line) + "\n")


# The server, as far as it can be known from outside.


class ForeignApp:
    """Stands for the server's application object: what is known from outside is there, anything else skips the test."""

    class KernelManager:
        use_pending_kernels = False
        default_kernel_name = "python3"

        def __getattr__(self, name):
            pytest.skip(f"reaches into the server's process: kernel_manager.{name}")

        def __setattr__(self, name, value):
            pytest.skip(f"reaches into the server's process: kernel_manager.{name}")

    root_dir = str(ROOT)
    base_url = urllib.parse.urlparse(URL).path
    port = urllib.parse.urlparse(URL).port
    token = TOKEN
    kernel_manager = KernelManager()

    def __getattr__(self, name):
        pytest.skip(f"reaches into the server's process: serverapp.{name}")


@pytest.fixture
def jp_serverapp(clean):
    return ForeignApp()


@pytest.fixture
def jp_base_url():
    return ForeignApp.base_url


@pytest.fixture
def jp_http_port():
    return ForeignApp.port


@pytest.fixture
def jp_auth_header():
    return {"Authorization": f"token {TOKEN}"}


@pytest.fixture
def jp_asyncio_loop():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@pytest.fixture
def jp_argv():
    return []


@pytest.fixture
def jp_server_config():
    return {}


@pytest.fixture
def jp_fetch(clean, jp_asyncio_loop, jp_auth_header, jp_base_url):
    async def fetch(*parts, headers=None, params=None, **kwargs):
        return await AsyncHTTPClient().fetch(
            HTTPRequest(address("http", jp_base_url, parts, params), headers={**jp_auth_header, **(headers or {})}, **kwargs)
        )

    return fetch


@pytest.fixture
def jp_ws_fetch(clean, jp_asyncio_loop, jp_auth_header, jp_base_url):
    async def fetch(*parts, headers=None, params=None, **kwargs):
        allowed = {k: v for k, v in kwargs.items() if k != "allow_nonstandard_methods"}
        return await websocket_connect(
            HTTPRequest(address("ws", jp_base_url, parts, params), headers={**jp_auth_header, **(headers or {})}, **allowed)
        )

    return fetch


@pytest.fixture
def send_request(jp_fetch, jp_ws_fetch):
    async def send(url, **kwargs):
        fetch = jp_ws_fetch if url.endswith(("channels", "/websocket")) or "/websocket/" in url else jp_fetch
        try:
            response = await fetch(url, **{"allow_nonstandard_methods": True, **kwargs})
        except HTTPClientError as error:
            return error.code
        if fetch is jp_ws_fetch:
            response.close()
            return 200
        return response.code

    return send


def address(scheme, base, parts, params):
    """Joins a request's address; each part is escaped but for its slashes."""
    path = "/".join(url_escape(part.strip("/"), plus=False).replace("%2F", "/") for part in parts if part)
    query = "?" + urllib.parse.urlencode(params) if params else ""
    host = urllib.parse.urlparse(URL).netloc
    return f"{scheme}://{host}{base}{path}{query}"


# The files.


def empty(folder):
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def end(kind, key):
    """Ends everything of a kind: sessions, kernels or terminals."""
    import urllib.request

    def call(method, path):
        request = urllib.request.Request(URL + path, method=method, headers={"Authorization": f"token {TOKEN}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read()

    for model in json.loads(call("GET", f"api/{kind}")):
        try:
            call("DELETE", f"api/{kind}/{model[key]}")
        except urllib.error.HTTPError as error:
            if error.code != 404:  # ended by itself
                raise


@pytest.fixture
def clean():
    """Gives the test an empty root, and leaves nothing running."""
    empty(ROOT)
    yield
    for kind, key in (("sessions", "id"), ("kernels", "id"), ("terminals", "name")):
        end(kind, key)


@pytest.fixture
def jp_root_dir(clean):
    return ROOT


@pytest.fixture
def contents_dir(clean):
    return ROOT


@pytest.fixture
def jp_data_dir():
    return DATA


@pytest.fixture
def jp_create_notebook(jp_root_dir):
    def create(name):
        path = jp_root_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(EMPTY_NOTEBOOK))
        return EMPTY_NOTEBOOK

    return create


@pytest.fixture
def contents(contents_dir):
    made = {"notebooks": [], "textfiles": [], "blobs": [], "contents_dir": contents_dir}
    for folder, name in dirs:
        (contents_dir / folder).mkdir(parents=True, exist_ok=True)
        for kind, suffix, content in (
            ("notebooks", ".ipynb", json.dumps(EMPTY_NOTEBOOK).encode()),
            ("textfiles", ".txt", f"{name} text file".encode()),
            ("blobs", ".blob", name.encode() + b"\xff"),
        ):
            path = contents_dir / folder / (name + suffix)
            path.write_bytes(content)
            made[kind].append(path.relative_to(contents_dir))
    made["all"] = list(made.values())
    return made


@pytest.fixture
def folders():
    return list({folder for folder, _ in dirs})


@pytest.fixture
def jp_kernelspecs(jp_data_dir):
    """Three kernel specs: two that start a program that is no kernel, one whose program is missing."""
    kernels = jp_data_dir / "kernels"
    for name, program in (("sample", "cat"), ("sample2", "cat"), ("bad", "non_existent_path")):
        (kernels / name).mkdir(parents=True)
        spec = {"argv": [program, "{connection_file}"] if program == "cat" else [program], "display_name": "Test kernel"}
        (kernels / name / "kernel.json").write_text(json.dumps(spec))
        (kernels / name / "resource.txt").write_text("The very model of a modern major general")
    yield
    shutil.rmtree(kernels)
