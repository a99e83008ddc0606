import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const LONGEST_WAIT_MILLISECONDS = 15 * 60_000;

/** @param {string} path @returns {Promise<import('node:net').Server | undefined>} */
function tryLock(path) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => {
      const { code } = /** @type {NodeJS.ErrnoException} */ (error);
      if (code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen({ path }, () => resolve(server));
  });
}

/**
 * Runs an action while no other process of this machine builds or uses `.next` of this folder.
 * The lock is an abstract socket (unix(7)), which the kernel frees even when its owner is killed;
 * elsewhere than on Linux there is none and the action just runs.
 *
 * @template T
 * @param {string} folder
 * @param {() => Promise<T>} action
 * @returns {Promise<T>}
 */
export async function withBuildLock(folder, action) {
  if (process.platform !== 'linux') return action();
  const path = `\0kanvaro-build-${createHash('sha256').update(folder).digest('hex')}`;
  const deadline = Date.now() + LONGEST_WAIT_MILLISECONDS;
  let lock = await tryLock(path);
  if (!lock) console.log('build: waiting for another build or end-to-end run in this folder');
  while (!lock) {
    if (Date.now() > deadline) throw new Error('build: another build holds this folder; gave up');
    await sleep(250);
    lock = await tryLock(path);
  }
  try {
    return await action();
  } finally {
    lock.close();
  }
}
