import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from '@playwright/test';
import { freePort } from '../../tools/free-port.mjs';

async function start(changes: Record<string, string>): Promise<{ status: number; output: string }> {
  const child = spawn(process.execPath, ['.next/standalone/server.js'], {
    env: { ...process.env, PORT: await freePort(), ...changes },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 20_000,
  });
  const [output, [status]] = await Promise.all([
    text(child.stderr),
    once(child, 'exit') as Promise<[number]>,
  ]);
  return { status, output };
}

test('a server with a published JWT secret refuses to start and names the variable only', async () => {
  const { status, output } = await start({ JWT_SECRET: 'dev-jwt-secret' });
  expect(status).toBe(1);
  expect(output).toContain('JWT_SECRET is a well-known example value');
  expect(output).not.toContain('dev-jwt-secret');
});

test('a server without its databases refuses to start', async () => {
  const { status, output } = await start({ MONGODB_URI: '', REDIS_URL: '' });
  expect(status).toBe(1);
  expect(output).toContain('MONGODB_URI is missing');
  expect(output).toContain('REDIS_URL is missing');
});
