import assert from 'node:assert/strict';
import { next, rejects } from '../tap.mjs';

// execute runs code and returns the reply and the messages that the kernel published for it.
export async function execute(kernel, code, options = {}) {
  const published = [];
  const future = kernel.requestExecute({ code, store_history: true, ...options });
  future.onIOPub = message => void published.push(message);
  const reply = await future.done;
  const text = published.filter(m => m.header.msg_type === 'stream').map(m => m.content.text).join('');
  return { reply, published, text };
}

// begin runs code and returns its future once the code itself runs. Before that, also after execute_input, ipykernel loses a request that
// is interrupted, and never answers it.
async function begin(kernel, code) {
  const begun = next(kernel.iopubMessage, m => m.header.msg_type === 'stream');
  const future = kernel.requestExecute({ code: `print("begun", flush=True)\n${code}` });
  await begun;
  return future;
}

// idle waits until a kernel that died says that it is idle. The package opens a new socket and asks the new kernel once what it is.
// It hears no status when that request or its answer falls between the server's old sockets and its new ones (its
// kernel/default.js says so where it asks, "kernelInfo may not resolve"). A person would reconnect then; so does this.
async function idle(kernel, { again = 20_000 } = {}) {
  const timer = setInterval(() => kernel.reconnect().catch(() => {}), again); // what fails is tried again
  try {
    while (kernel.status !== 'idle') {
      await next(kernel.statusChanged);
    }
  } finally {
    clearInterval(timer);
  }
}

// kernelChecks covers the kernel manager and one kernel's channels.
export function kernelChecks(checks, shared) {
  const { manager } = shared;
  const kernels = manager.kernels;
  let kernel;

  checks.group('kernel');
  checks.essential('starts', async () => {
    kernel = await kernels.startNew({ name: 'python3' });
    assert.match(kernel.id, /^[0-9a-f-]{36}$/);
    assert.equal(kernel.name, 'python3');
  }, { seconds: 180 });
  checks.essential('connects and tells what it is', async () => {
    const info = await kernel.info;
    assert.equal(info.language_info.name, 'python');
    assert.equal(kernel.connectionStatus, 'connected');
  }, { seconds: 180 });
  checks.add('is listed', async () => {
    await kernels.refreshRunning();
    const model = [...kernels.running()].find(m => m.id === kernel.id);
    assert.equal(model.name, 'python3');
    assert.ok(Date.parse(model.last_activity) > 0);
    assert.equal(typeof model.connections, 'number');
  });
  checks.add('is found by id', async () => {
    assert.equal((await kernels.findById(kernel.id)).id, kernel.id);
    assert.equal(await kernels.findById('00000000-0000-4000-8000-000000000000'), undefined);
  });
  checks.essential('executes and prints', async () => {
    const { reply, text } = await execute(kernel, 'print(6 * 7)');
    assert.equal(reply.content.status, 'ok');
    assert.equal(text, '42\n');
  });
  checks.add('is busy, then idle', async () => {
    const { published } = await execute(kernel, 'pass');
    const states = published.filter(m => m.header.msg_type === 'status').map(m => m.content.execution_state);
    assert.deepEqual(states, ['busy', 'idle']);
  });
  checks.add('returns a result', async () => {
    const { published } = await execute(kernel, '"a" * 3');
    const result = published.find(m => m.header.msg_type === 'execute_result');
    assert.equal(result.content.data['text/plain'], "'aaa'");
  });
  checks.add('reports an exception', async () => {
    const { reply, published } = await execute(kernel, '1 / 0');
    assert.equal(reply.content.ename, 'ZeroDivisionError');
    assert.ok(published.some(m => m.header.msg_type === 'error'));
  });
  checks.add('sends ten thousand lines in order', async () => {
    const { text } = await execute(kernel, 'for i in range(10000): print(i)');
    assert.equal(text, Array.from({ length: 10000 }, (_, i) => `${i}\n`).join(''));
  }, { seconds: 180 });
  checks.add('sends a display of one megabyte', async () => {
    const code = 'from IPython.display import display\ndisplay({"text/plain": "x" * 1000000}, raw=True)';
    const { published } = await execute(kernel, code);
    const display = published.find(m => m.header.msg_type === 'display_data');
    assert.equal(display.content.data['text/plain'].length, 1000000);
  });
  checks.add('asks for input', async () => {
    const future = kernel.requestExecute({ code: 'print("hello " + input("name? "))', allow_stdin: true });
    let text = '';
    future.onStdin = message => {
      assert.equal(message.content.prompt, 'name? ');
      future.sendInputReply({ value: 'ada', status: 'ok' }, message.header);
    };
    future.onIOPub = m => void (text += m.header.msg_type === 'stream' ? m.content.text : '');
    await future.done;
    assert.match(text, /hello ada/);
  });
  checks.add('completes', async () => {
    const { content } = await kernel.requestComplete({ code: 'import o', cursor_pos: 8 });
    assert.ok(content.matches.includes('os'));
  });
  checks.add('inspects', async () => {
    const { content } = await kernel.requestInspect({ code: 'print', cursor_pos: 3, detail_level: 0 });
    assert.equal(content.found, true);
  });
  checks.add('says whether code is complete', async () => {
    const { content } = await kernel.requestIsComplete({ code: 'for i in range(3):' });
    assert.equal(content.status, 'incomplete');
  });
  checks.add('gives its history', async () => {
    const { content } = await kernel.requestHistory({
      hist_access_type: 'tail', n: 3, output: false, raw: true, session: 0, start: 0, stop: 0, pattern: '', unique: false,
    });
    assert.ok(content.history.length > 0);
  });
  checks.add('lists comms', async () => {
    const { content } = await kernel.requestCommInfo({});
    assert.deepEqual(content.comms, {});
  });
  checks.add('carries a comm both ways, with buffers', async () => {
    const code = [
      'def opened(comm, message):',
      '    @comm.on_msg',
      '    def answer(message):',
      '        comm.send({"got": message["content"]["data"]["n"] + 1}, buffers=[bytes(reversed(bytes(message["buffers"][0])))])',
      'get_ipython().kernel.comm_manager.register_target("check", opened)',
    ].join('\n');
    assert.equal((await execute(kernel, code)).reply.content.status, 'ok');
    const comm = kernel.createComm('check');
    const answered = new Promise(resolve => (comm.onMsg = resolve));
    await comm.open().done;
    comm.send({ n: 1 }, {}, [new Uint8Array([1, 2, 3])]);
    const message = await answered;
    assert.equal(message.content.data.got, 2);
    const buffer = message.buffers[0];
    assert.deepEqual([...new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength)], [3, 2, 1]);
    comm.close();
  });
  checks.add('answers on the control channel while it is busy', async () => {
    const future = await begin(kernel, 'import time; time.sleep(3)');
    const reply = await kernel.requestDebug({ type: 'request', seq: 1, command: 'debugInfo' }).done;
    assert.equal(reply.header.msg_type, 'debug_reply');
    await kernel.interrupt();
    await future.done;
  });
  checks.add('is interrupted', async () => {
    const future = await begin(kernel, 'while True: pass');
    await kernel.interrupt();
    assert.equal((await future.done).content.ename, 'KeyboardInterrupt');
  });
  checks.add('serves two clients, each of which sees what the other runs', async () => {
    const second = kernel.clone();
    await second.info;
    const seen = next(second.iopubMessage, m => m.header.msg_type === 'stream');
    await execute(kernel, 'print("to all")');
    assert.equal((await seen).content.text, 'to all\n');
    second.dispose();
  });
  checks.add('keeps its variables over a reconnection', async () => {
    await execute(kernel, 'kept = 5');
    await kernel.reconnect();
    await kernel.info;
    assert.equal((await execute(kernel, 'print(kept)')).text, '5\n');
  }, { seconds: 180 });
  checks.add('restarts empty', async () => {
    await kernel.restart();
    await kernel.info;
    const { reply } = await execute(kernel, 'kept');
    assert.equal(reply.content.ename, 'NameError');
    assert.equal((await execute(kernel, 'print(1)')).text, '1\n');
  }, { seconds: 180 });
  checks.add('says so when it dies by itself, and comes back', async () => {
    const restarting = next(kernel.statusChanged, s => s === 'restarting' || s === 'autorestarting');
    kernel.requestExecute({ code: 'import os, signal; os.kill(os.getpid(), signal.SIGKILL)' }).done.catch(() => {});
    await restarting;
    await idle(kernel);
    assert.equal((await execute(kernel, 'print(2)')).text, '2\n');
  }, { seconds: 180 });
  checks.add('is shut down', async () => {
    const { id } = kernel;
    await kernel.shutdown();
    assert.ok(kernel.isDisposed);
    await kernels.refreshRunning();
    assert.ok(![...kernels.running()].some(m => m.id === id));
  });
  checks.add('refuses a kernel that is not installed', async () => {
    await rejects(kernels.startNew({ name: 'no-such-kernel' }));
  });
}
