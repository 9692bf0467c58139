import assert from 'node:assert/strict';
import { next, rejects } from '../tap.mjs';

const notebook = {
  cells: [{ id: 'one', cell_type: 'code', execution_count: null, metadata: {}, outputs: [], source: 'print(6 * 7)' }],
  metadata: { kernelspec: { name: 'python3', display_name: 'Python 3', language: 'python' } },
  nbformat: 4,
  nbformat_minor: 5,
};

// contentsChecks covers the contents manager: models, saving, names, copies and checkpoints.
export function contentsChecks(checks, shared) {
  const { manager, folder } = shared;
  const contents = manager.contents;
  const at = name => `${folder}/${name}`;

  checks.group('contents');
  checks.essential('the managers become ready', () => manager.ready, { seconds: 180 });
  checks.essential('lists the root', async () => {
    const root = await contents.get('');
    assert.equal(root.type, 'directory');
    assert.equal(root.path, '');
    assert.ok(Array.isArray(root.content));
  });
  checks.essential('makes a folder and renames it', async () => {
    const made = await contents.newUntitled({ type: 'directory' });
    assert.match(made.name, /^Untitled Folder/);
    const renamed = await contents.rename(made.path, folder);
    assert.equal(renamed.path, folder);
    assert.equal(renamed.type, 'directory');
  });
  checks.add('makes an untitled notebook', async () => {
    const changed = next(contents.fileChanged, c => c.type === 'new');
    const made = await contents.newUntitled({ path: folder, type: 'notebook' });
    assert.equal(made.name, 'Untitled.ipynb');
    assert.equal(made.type, 'notebook');
    assert.equal((await changed).newValue.path, at('Untitled.ipynb'));
  });
  checks.add('numbers the second untitled notebook', async () => {
    assert.equal((await contents.newUntitled({ path: folder, type: 'notebook' })).name, 'Untitled1.ipynb');
  });
  checks.add('makes an untitled file with an extension', async () => {
    assert.equal((await contents.newUntitled({ path: folder, type: 'file', ext: '.py' })).name, 'untitled.py');
  });
  checks.essential('saves a notebook', async () => {
    const saved = await contents.save(at('a.ipynb'), { type: 'notebook', format: 'json', content: notebook });
    assert.equal(saved.path, at('a.ipynb'));
    assert.equal(saved.content, null);
    assert.equal(saved.writable, true);
  });
  checks.add('reads the notebook back', async () => {
    const model = await contents.get(at('a.ipynb'), { type: 'notebook', content: true });
    assert.equal(model.format, 'json');
    assert.equal(model.content.cells[0].source, 'print(6 * 7)');
    assert.equal(model.content.nbformat, 4);
  });
  checks.add('gives the hash of a notebook when asked', async () => {
    const model = await contents.get(at('a.ipynb'), { type: 'notebook', content: true, hash: true });
    assert.equal(model.hash_algorithm, 'sha256');
    assert.match(model.hash, /^[0-9a-f]{64}$/);
  });
  checks.add('keeps the hash while the file is unchanged, and changes it with the file', async () => {
    const hash = async () => (await contents.get(at('t.txt'), { content: false, hash: true })).hash;
    await contents.save(at('t.txt'), { type: 'file', format: 'text', content: 'one' });
    const first = await hash();
    assert.equal(await hash(), first);
    await contents.save(at('t.txt'), { type: 'file', format: 'text', content: 'two' });
    assert.notEqual(await hash(), first);
  });
  checks.add('gives metadata without content', async () => {
    const model = await contents.get(at('a.ipynb'), { content: false });
    assert.equal(model.content, null);
    assert.equal(model.type, 'notebook');
    assert.ok(Date.parse(model.last_modified) > 0);
    assert.ok(Date.parse(model.created) > 0);
    assert.ok(model.size > 0);
  });
  checks.add('saves and reads text outside ASCII', async () => {
    const content = 'Grüße, 世界 🪐\n';
    await contents.save(at('ünï cödé.md'), { type: 'file', format: 'text', content });
    const model = await contents.get(at('ünï cödé.md'));
    assert.equal(model.content, content);
    assert.equal(model.mimetype, 'text/markdown');
  });
  checks.add('saves and reads bytes', async () => {
    const content = Buffer.from([0, 255, 128, 10, 13]).toString('base64');
    await contents.save(at('b.bin'), { type: 'file', format: 'base64', content });
    const model = await contents.get(at('b.bin'), { type: 'file', format: 'base64', content: true });
    assert.equal(model.content.trim(), content);
  });
  checks.add('refuses to read bytes as text', async () => {
    await rejects(contents.get(at('b.bin'), { type: 'file', format: 'text', content: true }), 400);
  });
  checks.add('reads a notebook as text when told to', async () => {
    const model = await contents.get(at('a.ipynb'), { type: 'file', format: 'text', content: true });
    assert.equal(JSON.parse(model.content).nbformat, 4);
  });
  checks.add('lists a folder with models without content', async () => {
    const model = await contents.get(folder);
    const names = model.content.map(m => m.name);
    for (const name of ['a.ipynb', 't.txt', 'b.bin', 'ünï cödé.md', 'untitled.py']) {
      assert.ok(names.includes(name), `${name} is not in ${names}`);
    }
    assert.ok(model.content.every(m => m.content === null && m.path === at(m.name)));
  });
  checks.add('gives a download address that serves the bytes', async () => {
    const url = new URL(await contents.getDownloadUrl(at('b.bin')));
    url.searchParams.set('token', shared.serverSettings.token);
    const response = await fetch(url);
    assert.equal(response.status, 200);
    assert.deepEqual([...new Uint8Array(await response.arrayBuffer())], [0, 255, 128, 10, 13]);
  });
  checks.add('uploads in chunks', async () => {
    const chunk = (n, text) => contents.save(at('chunks.txt'), {
      type: 'file', format: 'text', name: 'chunks.txt', path: at('chunks.txt'), chunk: n, content: text,
    });
    await chunk(1, 'one,');
    await chunk(2, 'two,');
    await chunk(-1, 'three');
    assert.equal((await contents.get(at('chunks.txt'))).content, 'one,two,three');
  });
  checks.add('renames a file and says so', async () => {
    const changed = next(contents.fileChanged, c => c.type === 'rename');
    await contents.rename(at('t.txt'), at('renamed.txt'));
    assert.equal((await changed).oldValue.path, at('t.txt'));
    assert.equal((await contents.get(at('renamed.txt'))).content, 'two');
    await rejects(contents.get(at('t.txt')), 404);
  });
  checks.add('refuses to rename onto an existing file', async () => {
    await rejects(contents.rename(at('renamed.txt'), at('a.ipynb')), 409);
    assert.equal((await contents.get(at('renamed.txt'))).content, 'two');
  });
  checks.add('copies a file beside itself', async () => {
    const copy = await contents.copy(at('renamed.txt'), folder);
    assert.equal(copy.name, 'renamed-Copy1.txt');
    assert.equal((await contents.get(copy.path)).content, 'two');
  });
  checks.add('moves a file into a folder', async () => {
    const made = await contents.newUntitled({ path: folder, type: 'directory' });
    await contents.rename(at('renamed-Copy1.txt'), `${made.path}/moved.txt`);
    assert.equal((await contents.get(made.path)).content[0].name, 'moved.txt');
  });
  checks.add('takes a checkpoint, restores it and deletes it', async () => {
    const path = at('renamed.txt');
    const checkpoint = await contents.createCheckpoint(path);
    assert.ok(checkpoint.id && Date.parse(checkpoint.last_modified) > 0);
    await contents.save(path, { type: 'file', format: 'text', content: 'three' });
    assert.deepEqual((await contents.listCheckpoints(path)).map(c => c.id), [checkpoint.id]);
    await contents.restoreCheckpoint(path, checkpoint.id);
    assert.equal((await contents.get(path)).content, 'two');
    await contents.deleteCheckpoint(path, checkpoint.id);
    assert.deepEqual(await contents.listCheckpoints(path), []);
  });
  checks.add('does not list hidden files', async () => {
    const model = await contents.get(folder);
    assert.ok(!model.content.some(m => m.name.startsWith('.')));
  });
  checks.add('answers 404 for what is not there', async () => {
    const error = await rejects(contents.get(at('nothing-here.txt')), 404);
    assert.ok(error.message.length > 0);
  });
  checks.add('refuses to save into a folder that is not there', async () => {
    await rejects(contents.save(at('no/such/f.txt'), { type: 'file', format: 'text', content: '' }));
  });
  checks.add('refuses an invalid notebook', async () => {
    await rejects(contents.save(at('bad.ipynb'), { type: 'notebook', format: 'json', content: 'no notebook' }));
  });
  checks.add('refuses a path that leaves the root', async () => {
    await rejects(contents.save('../escape.txt', { type: 'file', format: 'text', content: '' }));
  });
  checks.add('deletes a file and says so', async () => {
    const changed = next(contents.fileChanged, c => c.type === 'delete');
    await contents.delete(at('chunks.txt'));
    assert.equal((await changed).oldValue.path, at('chunks.txt'));
    await rejects(contents.get(at('chunks.txt')), 404);
  });
}

// removeFolder deletes the folder of the checks with all that is in it.
export async function removeFolder(contents, path) {
  for (const model of (await contents.get(path)).content) {
    if (model.type === 'directory') {
      await removeFolder(contents, model.path);
    } else {
      await contents.delete(model.path);
    }
  }
  await contents.delete(path);
}
