// A list of checks that run one after the other and report in the Test Anything Protocol, version 14: the plan first, then a
// line for each check, with what went wrong as comments below it.

// Checks collects named checks and runs them.
export class Checks {
  #checks = [];
  #group = '';

  // group names the checks that follow. When an essential one fails, the rest of its group is reported as not reached.
  group(name) {
    this.#group = name;
  }

  // add registers a check: it passes when the function returns, and fails when it throws or takes longer than seconds.
  add(name, fn, { seconds = 120, essential = false } = {}) {
    this.#checks.push({ group: this.#group, name, fn, seconds, essential });
  }

  // essential registers a check without which the rest of its group makes no sense.
  essential(name, fn, options = {}) {
    this.add(name, fn, { ...options, essential: true });
  }

  // run runs all checks and returns how many failed. limit caps the seconds that each may take; onFailure is called with the
  // number of each that failed, and returns lines to say beside what it failed with.
  async run({ limit = Infinity, onFailure = async () => [] } = {}) {
    const write = line => process.stdout.write(line + '\n');
    const lost = new Map();
    let failed = 0;
    write('TAP version 14');
    write(`1..${this.#checks.length}`);
    for (const [i, check] of this.#checks.entries()) {
      const title = `${i + 1} - ${check.group}: ${check.name}`;
      if (lost.has(check.group)) {
        failed++;
        write(`not ok ${title}`);
        write(`# not reached, because "${lost.get(check.group)}" failed`);
        continue;
      }
      const error = await attempt(check, limit);
      if (!error) {
        write(`ok ${title}`);
        continue;
      }
      failed++;
      const notes = await onFailure(i + 1);
      write(`not ok ${title}`);
      for (const line of [...String(error.stack ?? error).split('\n'), ...notes]) {
        write(`# ${line}`);
      }
      if (check.essential) {
        lost.set(check.group, check.name);
      }
    }
    return failed;
  }
}

// attempt runs one check and returns what it failed with, or undefined.
async function attempt(check, limit) {
  const seconds = Math.min(check.seconds, limit);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result after ${seconds} s`)), seconds * 1000);
  });
  try {
    await Promise.race([check.fn(), late]);
    return undefined;
  } catch (error) {
    return error ?? new Error('failed without an error');
  } finally {
    clearTimeout(timer);
  }
}

// rejects passes when the promise fails, and returns what it failed with.
export async function rejects(promise, status) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    const got = error.response?.status;
    if (status !== undefined && got !== status) {
      throw new Error(`failed with status ${got}, want ${status}: ${error}`);
    }
    return error;
  }
  throw new Error(`succeeded with ${JSON.stringify(value)}, want status ${status ?? 'of an error'}`);
}

// next is the next value of a Lumino signal for which want holds.
export function next(signal, want = () => true) {
  return new Promise(resolve => {
    const slot = (_, value) => {
      if (want(value)) {
        signal.disconnect(slot);
        resolve(value);
      }
    };
    signal.connect(slot);
  });
}
