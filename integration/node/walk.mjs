// Walks through JupyterLab in a headless browser as a person does: opens a notebook, runs it, edits and saves it, meets a file
// that a shell made, uses a terminal.
//
//   node walk.mjs PLAN.json
//
// The plan says where: url (ends in a slash), token, dir (where this machine sees the server's root), notebook (a path in the
// root), expect (texts that its outputs must show), screens (a folder for screenshots), report (a file to write) and browser
// (the program). The report holds all console errors and all answers of 400 and above, without what differs from run to run.
// The checks are reported in the Test Anything Protocol; the exit status is 0 only if all passed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { Checks } from './tap.mjs';

const plan = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const marker = `edited by the walk ${process.pid}`;
const file = path.join(plan.dir, plan.notebook);
const shellFile = 'made-by-a-shell.txt';
const terminalFile = 'made-in-a-terminal.txt';

const browser = await chromium.launch({
  executablePath: plan.browser,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update',
  ],
});
const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1360, height: 900 } });
const page = await context.newPage();
page.setDefaultTimeout(120_000);

// normal removes what differs from run to run: the server's address, cache busters, identifiers and content hashes.
const normal = text => text
  .replaceAll(plan.url, '/')
  .replaceAll(plan.url.replace(/^http/, 'ws'), '/')
  .replace(/([?&])(token=\w+|\d{13})(?=&|$|\s)/g, '$1')
  .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'ID')
  .replace(/\.[0-9a-f]{16,}\.(js|css)/g, '.HASH.$1')
  .replace(/[?&]+(?=$|\s)/g, '');
const seen = { console: [], responses: [] };
page.on('console', message => {
  if (message.type() === 'error') {
    seen.console.push(normal(`${message.text()} ${message.location().url}`));
  }
});
page.on('pageerror', error => seen.console.push(normal(`uncaught: ${error.message}`)));
page.on('response', response => {
  if (response.status() >= 400) {
    seen.responses.push(normal(`${response.status()} ${response.request().method()} ${response.url()}`));
  }
});
page.on('requestfailed', request => {
  // A request that the page itself gives up is no failure of the server.
  if (request.failure()?.errorText !== 'net::ERR_ABORTED') {
    seen.responses.push(normal(`${request.failure()?.errorText} ${request.method()} ${request.url()}`));
  }
});

// The requests that have no answer yet, for the report of a check that fails.
const waiting = new Set();
page.on('request', request => void waiting.add(request));
page.on('requestfinished', request => void waiting.delete(request));
page.on('requestfailed', request => void waiting.delete(request));

// What the terminals have been sent; the page draws it on a canvas.
let written = '';
page.on('websocket', socket => {
  if (socket.url().includes('/terminals/websocket/')) {
    socket.on('framereceived', frame => void (written += frame.payload));
  }
});

const item = name => page.locator('.jp-DirListing-item', { hasText: name });
const panel = page.locator('.jp-NotebookPanel:not(.lm-mod-hidden)');
const screen = name => page.screenshot({ path: path.join(plan.screens, `${name}.png`) });
const idle = page.locator('#jp-main-statusbar', { hasText: /Python 3.*\| Idle/ });
const menu = async (...names) => {
  await page.locator('.lm-MenuBar-itemLabel', { hasText: new RegExp(`^${names[0]}$`) }).click();
  await page.locator('.lm-Menu-item', { hasText: new RegExp(`^${names[1]}`) }).first().click();
};
// until waits for a condition outside the page.
const until = async (what, condition) => {
  for (const end = Date.now() + 100_000; Date.now() < end; await page.waitForTimeout(50)) {
    if (condition()) {
      return;
    }
  }
  throw new Error(`not so after 100 s: ${what}`);
};

const checks = new Checks();
checks.group('walk');
checks.essential('JupyterLab starts', async () => {
  await page.goto(`${plan.url}lab?token=${plan.token}`);
  await page.locator('.jp-Launcher').waitFor();
  await page.locator('#jupyterlab-splash').waitFor({ state: 'detached' });
  await item(path.basename(plan.notebook)).waitFor();
  await screen('1-start');
}, { seconds: 180 });
checks.add('the launcher offers Python', async () => {
  await page.locator('.jp-LauncherCard[data-category="Notebook"]').first().waitFor();
});
checks.essential('the notebook opens and its kernel starts', async () => {
  await item(path.basename(plan.notebook)).dblclick();
  await panel.locator('.jp-Cell').first().waitFor();
  await idle.waitFor();
  await screen('2-notebook');
}, { seconds: 90 });
checks.essential('Run All runs all cells', async () => {
  await menu('Run', 'Run All Cells');
  const code = await panel.locator('.jp-CodeCell').count();
  const done = panel.locator('.jp-CodeCell .jp-InputPrompt', { hasText: /\[\d+\]/ });
  for (let n = await done.count(); n < code; n = await done.count()) {
    await page.waitForTimeout(100);
  }
  await idle.waitFor();
}, { seconds: 120 });
for (const text of plan.expect) {
  checks.add(`the outputs show ${JSON.stringify(text)}`, async () => {
    await panel.locator('.jp-OutputArea-output', { hasText: text }).first().waitFor({ timeout: 180_000 });
  });
}
checks.add('the outputs show a plot', async () => {
  const image = panel.locator('.jp-OutputArea-output img').first();
  await image.waitFor({ timeout: 180_000 });
  await image.scrollIntoViewIfNeeded();
  const width = await image.evaluate(element => element.decode().then(() => element.naturalWidth));
  assert.ok(width > 100, `the image is ${width} pixels wide`);
  await screen('3-outputs');
});
checks.add('no cell failed', async () => {
  assert.equal(await panel.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]').count(), 0);
});
checks.essential('an edit is saved, and the file on this machine has it', async () => {
  await panel.locator('.jp-Cell').last().locator('.jp-InputPrompt').first().click();
  await page.keyboard.press('Escape');
  await page.keyboard.press('b');
  await page.keyboard.press('Enter');
  await page.keyboard.type(`# ${marker}`);
  await page.keyboard.press('Control+s');
  await until(`${plan.notebook} holds the edit`, () => fs.readFileSync(file, 'utf8').includes(marker));
  const notebook = JSON.parse(fs.readFileSync(file, 'utf8'));
  assert.ok(notebook.cells.some(cell => [cell.source].flat().join('').includes(marker)));
  await screen('4-saved');
}, { seconds: 180 });
checks.add('the page says that it is saved', async () => {
  await page.locator('.lm-DockPanel-tabBar .lm-TabBar-tab.jp-mod-current:not(.jp-mod-dirty)', { hasText: path.basename(plan.notebook) }).waitFor();
});
checks.add('a file that a shell makes appears in the file browser', async () => {
  fs.writeFileSync(path.join(plan.dir, shellFile), 'from a shell\n');
  await page.locator('[data-command="filebrowser:refresh"]').first().click();
  await item(shellFile).waitFor();
});
checks.add('that file opens', async () => {
  await item(shellFile).dblclick();
  await page.locator('.jp-FileEditor .cm-content', { hasText: 'from a shell' }).waitFor();
});
checks.essential('a terminal starts', async () => {
  await menu('File', 'New Launcher');
  await page.locator('.jp-Launcher:not(.lm-mod-hidden) .jp-LauncherCard', { hasText: 'Terminal' }).last().click();
  await page.locator('.jp-Terminal .xterm-helper-textarea').waitFor({ state: 'attached' });
}, { seconds: 180 });
checks.add('the terminal echoes', async () => {
  await page.locator('.jp-Terminal').click();
  await page.keyboard.type(`echo answer-$((40 + 2)) | tee ${terminalFile}\n`);
  await until('the terminal receives the answer', () => written.includes('answer-42'));
  await screen('5-terminal');
});
checks.add('the terminal works in the served folder', async () => {
  await until(`${terminalFile} is there`, () => fs.existsSync(path.join(plan.dir, terminalFile)));
  assert.equal(fs.readFileSync(path.join(plan.dir, terminalFile), 'utf8'), 'answer-42\n');
});
checks.add('a reload restores the notebook', async () => {
  await page.reload();
  await page.locator('#jupyterlab-splash').waitFor({ state: 'detached' });
  await page.locator('.lm-DockPanel-tabBar .lm-TabBar-tab', { hasText: path.basename(plan.notebook) }).click();
  await panel.locator('.jp-Cell', { hasText: marker }).waitFor();
  await screen('6-reloaded');
}, { seconds: 180 });
checks.add('the login form lets its user in', async () => {
  const other = await browser.newContext({ ignoreHTTPSErrors: true });
  const form = await other.newPage();
  await form.goto(`${plan.url}login`);
  await form.locator('input[name=password]').first().fill(plan.token); // a stock form has a second one to set a password
  await form.keyboard.press('Enter');
  await form.waitForURL(`${plan.url}lab**`);
  await other.close();
});
checks.add('the report notices a request that fails', async () => {
  const before = { console: seen.console.length, responses: seen.responses.length };
  await page.evaluate(url => fetch(url), `${plan.url}no-such-page-for-the-walk`); // below /lab/tree/ any page is one
  await until('the failed request is reported', () => seen.responses.length > before.responses && seen.console.length > before.console);
  seen.console.length = before.console;
  seen.responses.length = before.responses;
});

const failed = await checks.run({
  onFailure: async n => {
    await screen(`failed-${n}`);
    return [...waiting].map(request => `no answer yet: ${request.method()} ${normal(request.url())}`);
  },
});
fs.writeFileSync(plan.report, JSON.stringify(seen, null, 2));
await browser.close();
process.exit(failed ? 1 : 0);
