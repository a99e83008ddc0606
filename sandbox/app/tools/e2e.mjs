// Runs the browser tests against a production build of this revision on a port of its own.
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { withBuildLock } from './build-lock.mjs';
import { build, folder, isBuilt, run } from './build.mjs';
import { freePort } from './free-port.mjs';
import { withDatabase } from './test-database.mjs';

/** @param {string} name */
function required(name) {
  const value = process.env[name];
  if (value) return value;
  throw new Error(`test:e2e: ${name} is not set; the tests need a running MongoDB and Redis`);
}

async function serverEnvironment() {
  const run = `e2e_${randomBytes(6).toString('hex')}`;
  return {
    NODE_ENV: 'production',
    HOSTNAME: '127.0.0.1',
    PORT: process.env.PORT || (await freePort()),
    MONGODB_URI: withDatabase(required('MONGODB_URI'), `kanvaro_${run}`),
    REDIS_URL: required('REDIS_URL'),
    REDIS_KEY_PREFIX: `kanvaro:${run}:`,
    JWT_SECRET: randomBytes(48).toString('base64'),
    JWT_REFRESH_SECRET: randomBytes(48).toString('base64'),
    KANVARO_E2E: run,
  };
}

async function main() {
  const server = await serverEnvironment();
  // The lock is held to the end: another build would take the files from under the server.
  await withBuildLock(folder, async () => {
    if (await isBuilt()) console.log(`e2e: using the build of ${process.env.REVISION}`);
    else await build();
    const playwright = createRequire(import.meta.url).resolve('@playwright/test/cli');
    const argv = [playwright, 'test', ...process.argv.slice(2)];
    const env = /** @type {any} */ ({ ...process.env, ...server });
    process.exitCode = await run(process.execPath, argv, env);
  });
}

main().catch((/** @type {Error} */ error) => {
  console.error(error.message);
  process.exitCode = 1;
});
