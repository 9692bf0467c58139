import assert from 'node:assert/strict';
import { removeFolder } from './contents.mjs';

// terminalChecks covers the terminal manager, and cleans up after all checks.
export function terminalChecks(checks, shared) {
  const { manager, folder } = shared;
  const terminals = manager.terminals;
  let terminal;
  let screen = '';

  // shows waits until the terminal has written the text.
  const shows = text => new Promise(resolve => {
    const look = () => {
      if (screen.includes(text)) {
        terminal.messageReceived.disconnect(look);
        resolve();
      }
    };
    terminal.messageReceived.connect(look);
    look();
  });

  checks.group('terminal');
  checks.essential('is available', () => assert.equal(terminals.isAvailable(), true));
  checks.essential('starts in a folder', async () => {
    terminal = await terminals.startNew({ cwd: folder });
    terminal.messageReceived.connect((_, m) => void (screen += m.type === 'stdout' ? m.content[0] : ''));
    assert.ok(terminal.name);
  });
  checks.add('is listed', async () => {
    await terminals.refreshRunning();
    assert.ok([...terminals.running()].some(m => m.name === terminal.name));
  });
  checks.essential('echoes', async () => {
    terminal.send({ type: 'stdin', content: ['echo $((40 + 2))-answer\r'] });
    await shows('42-answer');
  });
  checks.add('works in that folder', async () => {
    terminal.send({ type: 'stdin', content: ['echo "in <$(basename "$PWD")>"\r'] });
    await shows(`in <${folder}>`);
  });
  checks.add('takes a size', async () => {
    terminal.send({ type: 'set_size', content: [31, 101, 600, 800] });
    terminal.send({ type: 'stdin', content: ['echo "size <$(stty size)>"\r'] });
    await shows('size <31 101>');
  });
  checks.add('writes a file that the contents manager sees', async () => {
    terminal.send({ type: 'stdin', content: ['printf shell > from-shell.txt; echo done-$((1 + 1))\r'] });
    await shows('done-2');
    assert.equal((await manager.contents.get(`${folder}/from-shell.txt`)).content, 'shell');
  });
  checks.add('shows earlier output after a reconnection', async () => {
    screen = '';
    await terminal.reconnect();
    await shows('42-answer');
  });
  checks.add('is shut down', async () => {
    const { name } = terminal;
    await terminal.shutdown();
    await terminals.refreshRunning();
    assert.ok(![...terminals.running()].some(m => m.name === name));
  });

  checks.group('clean-up');
  checks.add('deletes the folder with all that is in it', async () => {
    await removeFolder(manager.contents, folder);
    assert.ok(!(await manager.contents.get('')).content.some(m => m.name === folder));
  });
}
