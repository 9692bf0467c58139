// Uses a Jupyter server the way JupyterLab, Notebook and VS Code do: through every manager of @jupyterlab/services.
//
//   node services.mjs BASE_URL TOKEN [SECONDS]
//
// BASE_URL ends in a slash. SECONDS caps each check, for a server that is expected to fail. The server needs the kernel
// python3 and is left as it was found. The report is in the Test Anything Protocol; the exit status is 0 only if all passed.
import { createRequire } from 'node:module';
import { Checks } from './tap.mjs';
import { contentsChecks } from './checks/contents.mjs';
import { kernelChecks } from './checks/kernels.mjs';
import { labChecks } from './checks/lab.mjs';
import { sessionChecks } from './checks/sessions.mjs';
import { terminalChecks } from './checks/terminals.mjs';

const require = createRequire(import.meta.url);
const WebSocket = require('ws');

const [baseUrl, token, seconds] = process.argv.slice(2);
if (!baseUrl || token === undefined) {
  console.error('usage: node services.mjs BASE_URL TOKEN [SECONDS]');
  process.exit(2);
}

// The package expects a browser's storage and sockets, and JupyterLab's page configuration.
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    this.on('error', error => console.error(`${args[0]}: ${error.message}`));
  }
};
// As in a browser, a promise that nobody awaits fails alone.
process.on('unhandledRejection', error => console.error(error));
const storage = new Map();
globalThis.window = {
  localStorage: { getItem: key => storage.get(key) ?? null, setItem: (key, value) => storage.set(key, value) },
  addEventListener() {},
  removeEventListener() {},
};
// Its own reports of failures go to the error stream; standard output holds the checks alone.
for (const level of ['log', 'info', 'debug', 'warn']) {
  console[level] = console.error;
}
const { PageConfig } = require('@jupyterlab/coreutils');
const services = require('@jupyterlab/services');
PageConfig.setOption('terminalsAvailable', 'true');
PageConfig.setOption('appUrl', 'lab');

const serverSettings = services.ServerConnection.makeSettings({
  baseUrl,
  wsUrl: baseUrl.replace(/^http/, 'ws'),
  token,
  appendToken: true,
  WebSocket: globalThis.WebSocket,
});
const manager = new services.ServiceManager({ serverSettings, standby: 'never' });

// What the checks share: the package, its managers and a folder of their own on the server.
const shared = { services, manager, serverSettings, folder: `services-${process.pid}` };
const checks = new Checks();
contentsChecks(checks, shared);
labChecks(checks, shared);
kernelChecks(checks, shared);
sessionChecks(checks, shared);
terminalChecks(checks, shared);

const failed = await checks.run({ limit: seconds ? Number(seconds) : undefined });
manager.dispose();
process.exit(failed ? 1 : 0);
