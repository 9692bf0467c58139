"""Runs a notebook with nbclient, on a kernel of a server: run_notebook.py URL TOKEN KERNEL

The way there is the one that jupyter_server has for kernels elsewhere: a kernel manager over REST and a kernel client over the
WebSocket. That client sends no token by itself. Prints the notebook that came of it as JSON.
"""

import functools
import sys

import nbclient
import nbformat
import websocket
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelManager

CELLS = [
    "import os, sys\nx = 6 * 7\nprint('out', x)\nprint('err', file=sys.stderr)",
    "x",
    "from IPython.display import display, HTML\nh = display(HTML('<b>one</b>'), display_id=True)\nh.update(HTML('<b>two</b>'))",
    "for i in range(2000):\n    print(i)",
    "os.getcwd()",
    "raise ValueError('on purpose')",
    "'after the error'",
]


def main(url, token, kernel):
    gateway = GatewayClient.instance()
    gateway.url = url
    gateway.auth_token = token
    gateway.init_connection_args()
    websocket.create_connection = functools.partial(websocket.create_connection, header=[f"Authorization: token {token}"])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nbclient.NotebookClient(
        notebook,
        kernel_name=kernel,
        kernel_manager_class=GatewayKernelManager,
        allow_errors=True,
        coalesce_streams=True,  # how a kernel cuts its output is a matter of time
        timeout=120,
        iopub_timeout=60,
        startup_timeout=120,
    ).execute()
    print(nbformat.writes(notebook))


main(*sys.argv[1:])
