// Builds the application: `next build`, then completes the standalone folder with what Next leaves
// to others (static files and public/), so that `.next/standalone` alone can be run or shipped.
import { spawn } from 'node:child_process';
import { cp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withBuildLock } from './build-lock.mjs';

export const folder = fileURLToPath(new URL('..', import.meta.url));
export const standalone = join(folder, '.next/standalone');
const completed = join(folder, '.next/completed-revision');
const wanted = process.env.REVISION?.trim() ?? '';

/** @param {string} command @param {string[]} argv @param {NodeJS.ProcessEnv} env */
export function run(command, argv, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, {
      cwd: folder,
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
      process.once(signal, () => child.kill(signal));
    }
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

async function complete() {
  await cp(join(folder, 'public'), join(standalone, 'public'), { recursive: true });
  await cp(join(folder, '.next/static'), join(standalone, '.next/static'), { recursive: true });
  for (const name of await readdir(standalone)) {
    // Next copies env files along; secrets do not belong into what is shipped.
    if (name.startsWith('.env')) await rm(join(standalone, name));
  }
  await writeFile(completed, wanted);
}

/** Builds; the caller holds the lock. */
export async function build() {
  await rm(completed, { force: true });
  const next = createRequire(import.meta.url).resolve('next/dist/bin/next');
  const env = { ...process.env, NODE_ENV: 'production', NEXT_TELEMETRY_DISABLED: '1' };
  const status = await run(process.execPath, [next, 'build'], /** @type {any} */ (env));
  if (status !== 0) throw new Error(`build: next build ended with status ${status}`);
  await complete();
}

/** Whether `.next` holds a whole build of the revision that is asked for. */
export async function isBuilt() {
  if (!wanted) return false;
  return (await readFile(completed, 'utf8').catch(() => '')) === wanted;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  withBuildLock(folder, build).catch((/** @type {Error} */ error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
