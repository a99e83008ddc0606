import { expect, test, vi } from 'vitest';
import { GET as ready } from '@/app/api/health/route';
import { GET, POST } from '@/app/api/projects/route';
import type { Health } from '@/server/health';
import { countVisit } from '@/server/visits';

// Port 1 refuses on any machine where nobody put a service there as root.
vi.hoisted(() => {
  process.env.REDIS_URL = 'redis://:canary-password@127.0.0.1:1';
});

test('without Redis projects are still added and listed, only slower', async () => {
  const headers = { 'Content-Type': 'application/json' };
  const init = { method: 'POST', headers, body: '{"name":"Bridge"}' };
  expect((await POST(new Request('http://kanvaro.test/', init))).status).toBe(201);
  const answer = await GET();
  expect(answer.headers.get('x-cache')).toBe('miss');
  expect(await answer.json()).toMatchObject({ projects: [{ name: 'Bridge' }] });
  expect(await countVisit()).toBeUndefined();
});

test('readiness names the dependency that is away and tells nothing about it', async () => {
  const answer = await ready();
  const body = await answer.text();
  expect(answer.status).toBe(503);
  const health = JSON.parse(body) as Health;
  expect(health.status).toBe('not ready');
  expect(health.checks.redis).toMatchObject({ ok: false, reason: 'refused' });
  expect(health.checks.mongodb?.ok).toBe(true);
  expect(body).not.toMatch(/canary|127\.0\.0\.1|ECONN/);
});
