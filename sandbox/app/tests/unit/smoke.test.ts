import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type RequestListener, type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const SMOKE = fileURLToPath(new URL('../../tools/smoke.mjs', import.meta.url));
const PAGE = '<h1>Kanvaro</h1><script src="/_next/static/chunks/a.js?dpl=abc&amp;x=1"></script>';

type Answers = Record<string, [status: number, body: string]>;
const HEALTHY: Answers = {
  'GET /api/health/live': [200, '{"status":"alive","revision":"abc"}'],
  'GET /api/health': [200, '{"status":"ready","revision":"abc","checks":{}}'],
  'GET /': [200, PAGE],
  'GET /_next/static/chunks/a.js?dpl=abc&x=1': [200, ''],
  'GET /api/projects': [200, '{"projects":[]}'],
  'POST /api/projects': [400, '{}'],
};

const servers: Server[] = [];

function stop(server: Server): void {
  server.closeAllConnections();
  server.close();
}

afterAll(() => {
  servers.forEach(stop);
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answering(changes: Answers = {}): Promise<string> {
  const answers = { ...HEALTHY, ...changes };
  return serve((request, response) => {
    const [status, body] = answers[`${request.method ?? ''} ${request.url ?? ''}`] ?? [404, ''];
    response.writeHead(status).end(body);
  });
}

async function abandoned(): Promise<string> {
  const address = await answering();
  const server = servers.pop();
  if (server) stop(server);
  return address;
}

async function smoke(...argv: string[]): Promise<{ status: number; output: string }> {
  const child = spawn(process.execPath, [SMOKE, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number]>,
  ]);
  return { status, output: stdout + stderr };
}

test.concurrent(
  'a healthy deployment of the expected revision passes, one line per check',
  async () => {
    const { status, output } = await smoke(`--base-url=${await answering()}`, '--revision=abc');
    expect(output.trim().split('\n')).toHaveLength(5);
    expect(output).not.toContain('FAILED');
    expect(status).toBe(0);
  },
);

test.concurrent.each<[string, Answers, RegExp]>([
  [
    'another revision',
    { 'GET /api/health': [200, '{"status":"ready","revision":"old","checks":{}}'] },
    /serves revision old, not abc/,
  ],
  [
    'a dependency that is away',
    {
      'GET /api/health': [
        503,
        '{"status":"not ready","checks":{"redis":{"ok":false,"reason":"refused"}}}',
      ],
    },
    /answered 503: redis refused/,
  ],
  [
    'static files left out',
    { 'GET /_next/static/chunks/a.js?dpl=abc&x=1': [404, ''] },
    /its script answered 404/,
  ],
  ['a page of somebody else', { 'GET /': [200, '<h1>Welcome to nginx</h1>'] }, /not the page/],
  ['no list', { 'GET /api/projects': [200, '<html>'] }, /not JSON/],
  ['no validation', { 'POST /api/projects': [201, '{}'] }, /answered with 201/],
])('%s fails with its reason', async (_, changes, reason) => {
  const { status, output } = await smoke(
    `--base-url=${await answering(changes)}`,
    '--revision=abc',
  );
  expect(output).toMatch(reason);
  expect(status).toBe(1);
});

test.concurrent('a deployment that never answers fails within the time-out', async () => {
  const silent = await serve(() => undefined);
  const { status, output } = await smoke(`--base-url=${silent}`, '--timeout=0.2');
  expect(output.match(/no answer within 0.2 s/g)).toHaveLength(5);
  expect(status).toBe(1);
});

test.concurrent('nobody listening is said as such', async () => {
  const { status, output } = await smoke(`--base-url=${await abandoned()}`);
  expect(output).toContain('ECONNREFUSED');
  expect(status).toBe(1);
});

test.concurrent.each(['--base-url=', '--base-url=ftp://x', '--base-url=kanvaro'])(
  '%s is refused',
  async (flag) => {
    const { status, output } = await smoke(flag);
    expect(output).toContain('give --base-url');
    expect(status).toBe(1);
  },
);
