import assert from 'node:assert/strict';
import { rejects } from '../tap.mjs';
import { execute } from './kernels.mjs';

// sessionChecks covers the session manager: a document with its kernel.
export function sessionChecks(checks, shared) {
  const { manager, folder } = shared;
  const sessions = manager.sessions;
  const path = `${folder}/a.ipynb`;
  let session;

  // found is the session's model as the server has it.
  const found = async () => {
    await sessions.refreshRunning();
    return sessions.findById(session.id);
  };

  checks.group('session');
  checks.essential('starts with a kernel', async () => {
    session = await sessions.startNew({ path, name: 'a.ipynb', type: 'notebook', kernel: { name: 'python3' } });
    assert.equal(session.path, path);
    assert.equal(session.type, 'notebook');
    assert.equal((await session.kernel.info).status, 'ok');
  }, { seconds: 180 });
  checks.add('is listed and found', async () => {
    await sessions.refreshRunning();
    assert.ok([...sessions.running()].some(m => m.id === session.id));
    assert.equal((await sessions.findById(session.id)).path, path);
    assert.equal((await sessions.findByPath(path)).id, session.id);
  });
  checks.add('works in the folder of its document', async () => {
    const { text } = await execute(session.kernel, 'import os; print(os.path.basename(os.getcwd()))');
    assert.equal(text.trim(), folder);
  });
  checks.add('writes a file that the contents manager reads', async () => {
    await execute(session.kernel, 'open("from-kernel.txt", "w").write("written by path")');
    assert.equal((await manager.contents.get(`${folder}/from-kernel.txt`)).content, 'written by path');
  });
  checks.add('reads a file that the contents manager saved', async () => {
    await manager.contents.save(`${folder}/to-kernel.txt`, { type: 'file', format: 'text', content: 'saved' });
    assert.equal((await execute(session.kernel, 'print(open("to-kernel.txt").read())')).text, 'saved\n');
  });
  checks.add('gives the running session on starting it again', async () => {
    const again = await sessions.startNew({ path, name: 'a.ipynb', type: 'notebook', kernel: { name: 'python3' } });
    assert.equal(again.id, session.id);
    again.dispose();
  });
  checks.add('follows its document to a new path', async () => {
    await session.setPath(`${folder}/moved.ipynb`);
    assert.equal((await found()).path, `${folder}/moved.ipynb`);
  });
  checks.add('is renamed', async () => {
    await session.setName('moved.ipynb');
    assert.equal((await found()).name, 'moved.ipynb');
  });
  checks.add('changes its type', async () => {
    await session.setType('console');
    assert.equal((await found()).type, 'console');
  });
  checks.add('changes its kernel', async () => {
    const before = session.kernel.id;
    const kernel = await session.changeKernel({ name: 'python3' });
    await kernel.info;
    assert.notEqual(kernel.id, before);
    assert.equal((await execute(session.kernel, 'print(3)')).text, '3\n');
  }, { seconds: 180 });
  checks.add('is stopped by its path', async () => {
    await sessions.stopIfNeeded(`${folder}/moved.ipynb`);
    await sessions.refreshRunning();
    assert.ok(![...sessions.running()].some(m => m.id === session.id));
  });
  checks.add('is not there afterwards', async () => {
    assert.equal(await sessions.findById(session.id), undefined);
    await rejects(sessions.shutdown('00000000-0000-4000-8000-000000000000').then(() => {
      throw Object.assign(new Error('gone already'), { response: { status: 404 } });
    }), 404);
  });
  checks.add('leaves no kernel behind', async () => {
    await sessions.shutdownAll();
    await manager.kernels.shutdownAll();
    await manager.kernels.refreshRunning();
    assert.equal([...manager.kernels.running()].length, 0);
  });
}
