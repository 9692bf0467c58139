import assert from 'node:assert/strict';
import { rejects } from '../tap.mjs';

const contentsEvents = 'https://events.jupyter.org/jupyter_server/contents_service/v1';
const plugin = '@jupyterlab/fileeditor-extension:plugin';

// labChecks covers the managers of the application: user, settings, workspaces, events, export, config, kernel specs.
export function labChecks(checks, shared) {
  const { manager, services, serverSettings } = shared;

  checks.group('user');
  checks.essential('knows who is asking', async () => {
    await manager.user.ready;
    const { identity } = manager.user;
    for (const key of ['username', 'name', 'display_name', 'initials']) {
      assert.ok(typeof identity[key] === 'string' && identity[key] !== '', `${key} is ${identity[key]}`);
    }
    assert.match(identity.color, /^var\(--jp-collaborator-color\d\)$/);
  });
  checks.add('refuses a wrong token', async () => {
    const settings = { ...serverSettings, token: 'wrong' };
    const response = await services.ServerConnection.makeRequest(`${settings.baseUrl}api/me`, {}, settings);
    assert.equal(response.status, 403);
  });

  checks.group('settings');
  checks.essential('lists all plugins with schemas', async () => {
    const { ids, values } = await manager.settings.list();
    assert.ok(ids.length > 40, `${ids.length} plugins`);
    assert.ok(values.every(v => v.schema && typeof v.raw === 'string'));
  });
  checks.add('lists the ids alone', async () => {
    const { ids } = await manager.settings.list('ids');
    assert.ok(ids.includes(plugin));
  });
  checks.add('fetches one plugin', async () => {
    const value = await manager.settings.fetch(plugin);
    assert.equal(value.id, plugin);
    assert.equal(value.schema.type, 'object');
    assert.equal(typeof value.version, 'string');
  });
  checks.add('saves settings with comments and reads them back as they were', async () => {
    const raw = '{\n  // how wide a tab is\n  "editorConfig": {"tabSize": 3}\n}';
    await manager.settings.save(plugin, raw);
    const value = await manager.settings.fetch(plugin);
    assert.equal(value.raw, raw);
    assert.ok(Date.parse(value.last_modified) > 0);
    await manager.settings.save(plugin, '{}');
  });
  checks.add('refuses settings that the schema forbids', async () => {
    await rejects(manager.settings.save(plugin, '{"editorConfig": 7}'), 400);
  });
  checks.add('answers 404 for a plugin that is not there', async () => {
    await rejects(manager.settings.fetch('@no/such:plugin'), 404);
  });

  checks.group('workspaces');
  const workspace = { data: { 'layout-restorer:data': { main: null } }, metadata: { id: `w${process.pid}` } };
  checks.essential('saves a workspace', () => manager.workspaces.save(workspace.metadata.id, workspace));
  checks.add('fetches the workspace', async () => {
    const got = await manager.workspaces.fetch(workspace.metadata.id);
    assert.deepEqual(got.data, workspace.data);
    assert.equal(got.metadata.id, workspace.metadata.id);
    assert.ok(Date.parse(got.metadata.last_modified) > 0);
  });
  checks.add('lists the workspace', async () => {
    const { ids, values } = await manager.workspaces.list();
    assert.ok(ids.includes(workspace.metadata.id));
    assert.equal(values.length, ids.length);
  });
  checks.add('removes the workspace', async () => {
    await manager.workspaces.remove(workspace.metadata.id);
    assert.ok(!(await manager.workspaces.list()).ids.includes(workspace.metadata.id));
  });
  checks.add('gives an empty workspace for an unknown name', async () => {
    assert.deepEqual((await manager.workspaces.fetch('never-saved')).data, {});
  });

  checks.group('events');
  const awaitEvent = async want => {
    for await (const event of manager.events.stream) {
      if (want(event)) {
        return event;
      }
    }
    throw new Error('the stream ended');
  };
  checks.essential('sends an event when a file is saved', async () => {
    const path = `${shared.folder}/event.txt`;
    const seen = awaitEvent(e => e.schema_id === contentsEvents && e.action === 'save' && e.path === path);
    let done = false;
    const save = async () => {
      // The subscription is made in the background, and what happened before it is not sent.
      while (!done) {
        await manager.contents.save(path, { type: 'file', format: 'text', content: 'x' });
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    };
    const saving = save();
    await seen.finally(() => (done = true));
    await saving;
  }, { seconds: 180 });
  checks.add('passes on an event that a client emits', async () => {
    const path = `emitted-${process.pid}`;
    const seen = awaitEvent(e => e.path === path);
    await manager.events.emit({ schema_id: contentsEvents, version: '1', data: { action: 'get', path } });
    assert.equal((await seen).action, 'get');
  });
  checks.add('refuses an event without a schema', async () => {
    await rejects(manager.events.emit({ schema_id: 'https://example.org/none', version: '1', data: {} }));
  });

  checks.group('nbconvert');
  checks.add('gives the formats for export as a map', async () => {
    const formats = await manager.nbconvert.getExportFormats();
    assert.ok(formats && typeof formats === 'object' && !Array.isArray(formats));
    assert.ok(Object.values(formats).every(f => typeof f.output_mimetype === 'string'));
  });

  checks.group('config');
  const { ConfigSection } = services;
  checks.add('updates a section and reads it back', async () => {
    const name = `section${process.pid}`;
    const section = await ConfigSection.create({ name, serverSettings });
    assert.deepEqual(section.data, {});
    await section.update({ a: { b: 1, c: 2 } });
    await section.update({ a: { c: null } });
    assert.deepEqual((await ConfigSection.create({ name, serverSettings })).data, { a: { b: 1 } });
    await section.update({ a: null });
  });

  checks.group('kernelspecs');
  checks.essential('lists the specs', async () => {
    await manager.kernelspecs.ready;
    await manager.kernelspecs.refreshSpecs();
    assert.ok(manager.kernelspecs.specs.default in manager.kernelspecs.specs.kernelspecs);
  });
  checks.add('has Python with a logo that loads', async () => {
    const spec = manager.kernelspecs.specs.kernelspecs.python3;
    assert.equal(spec.language, 'python');
    assert.ok(spec.argv.length > 0);
    const logo = Object.values(spec.resources)[0];
    const url = new URL(logo, serverSettings.baseUrl);
    url.searchParams.set('token', serverSettings.token);
    assert.equal((await fetch(url)).status, 200);
  });

  checks.group('builder');
  checks.add('does not offer to build the application', () => {
    assert.equal(manager.builder.shouldCheck, false);
  });
}
