import { beforeEach, expect, test, vi } from 'vitest';
import { GET, POST } from '@/app/api/projects/route';
import { mongodb } from '@/server/mongodb';
import type { Project } from '@/server/projects';
import { countVisit } from '@/server/visits';

const ADDRESS = 'http://kanvaro.test/api/projects';

function add(body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return POST(
    new Request(ADDRESS, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  );
}

async function list(): Promise<{ cache: string | null; names: string[] }> {
  const answer = await GET();
  const { projects } = (await answer.json()) as { projects: Project[] };
  return { cache: answer.headers.get('x-cache'), names: projects.map(({ name }) => name) };
}

beforeEach(async () => {
  const connection = await mongodb();
  await connection.getClient().db(connection.name).collection('projects').deleteMany({});
  // Voids the cached list as any write does.
  await add({ name: 'placeholder' });
  await connection.getClient().db(connection.name).collection('projects').deleteMany({});
});

test('an added project is kept and listed newest first', async () => {
  const first = await add({ name: ' Bridge ', description: 'Over the river' });
  expect(first.status).toBe(201);
  expect(await first.json()).toMatchObject({
    project: { name: 'Bridge', description: 'Over the river' },
  });
  await add({ name: 'Tunnel' });
  expect((await list()).names).toEqual(['Tunnel', 'Bridge']);
});

test('the list comes from Redis until a project is added', async () => {
  await add({ name: 'Bridge' });
  expect(await list()).toEqual({ cache: 'miss', names: ['Bridge'] });
  expect(await list()).toEqual({ cache: 'hit', names: ['Bridge'] });
  await add({ name: 'Tunnel' });
  expect(await list()).toEqual({ cache: 'miss', names: ['Tunnel', 'Bridge'] });
});

test('a reader slower than a writer leaves no stale list behind', async () => {
  await add({ name: 'Bridge' });
  const [, answer] = await Promise.all([list(), add({ name: 'Tunnel' })]);
  expect(answer.status).toBe(201);
  expect((await list()).names).toEqual(['Tunnel', 'Bridge']);
});

test('a name is taken once, whatever its letter case', async () => {
  const answers = await Promise.all([add({ name: 'Bridge' }), add({ name: 'BRIDGE' })]);
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
  expect((await list()).names).toHaveLength(1);
});

test('a body that is not valid says what is wrong and adds nothing', async () => {
  const refused = await add({ name: '', description: 7 });
  expect(refused.status).toBe(400);
  expect(await refused.json()).toEqual({
    error: 'the body is not valid',
    fields: [
      { field: 'name', message: 'must not be empty' },
      { field: 'description', message: 'must be text' },
    ],
  });
  expect((await add('{')).status).toBe(400);
  expect((await add({ name: 'x' }, { 'Content-Type': 'text/plain' })).status).toBe(415);
  expect((await add({ name: 'x', description: 'y'.repeat(20_000) })).status).toBe(413);
  expect((await list()).names).toEqual([]);
});

test('an operator of MongoDB in place of a name is refused', async () => {
  expect((await add({ name: { $gt: '' } })).status).toBe(400);
});

test('visits are counted one by one, also when they come together', async () => {
  const before = (await countVisit()) ?? NaN;
  const counts = await Promise.all([countVisit(), countVisit(), countVisit()]);
  expect(counts.sort()).toEqual([before + 1, before + 2, before + 3]);
});

test('one client that asks too often is refused and another is not', async () => {
  const environment = await import('@/server/environment');
  const limits = { RATE_LIMIT_MAX_REQUESTS: 2, RATE_LIMIT_WINDOW_MS: 86_400_000 };
  const strict = { ...environment.environment(), ...limits };
  vi.spyOn(environment, 'environment').mockReturnValue(strict);
  const from = (address: string) => add({ name: '' }, { 'X-Forwarded-For': `6.6.6.6, ${address}` });
  const statuses = [];
  for (let attempt = 0; attempt < 3; attempt += 1) statuses.push((await from('10.0.0.1')).status);
  statuses.push((await from('10.0.0.2')).status);
  vi.restoreAllMocks();
  expect(statuses).toEqual([400, 400, 429, 400]);
});
