import { expect, test, vi } from 'vitest';
import { GET as live } from '@/app/api/health/live/route';
import { GET as ready } from '@/app/api/health/route';
import * as environment from '@/server/environment';
import { closeMongodb, mongodb } from '@/server/mongodb';
import { closeRedis, redis } from '@/server/redis';

test('an instance whose MongoDB and Redis answer is ready', async () => {
  const answer = await ready();
  expect(answer.status).toBe(200);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(await answer.json()).toEqual({
    status: 'ready',
    revision: 'unknown',
    checks: {
      mongodb: { ok: true, milliseconds: expect.any(Number) as number },
      redis: { ok: true, milliseconds: expect.any(Number) as number },
    },
    secrets: {},
  });
});

test('an instance tells which versions of its secrets it runs with, as far as it knows', async () => {
  const versions = {
    SECRET_VERSION_DATABASE: '0b7c5f0e-6a51-5c7e-9a43-2f5d1f3c9a10',
    SECRET_VERSION_JWT: '5d0f1a2b-3c4d-5e6f-8a9b-0c1d2e3f4a5b',
  };
  const told = { ...environment.environment(), ...versions };
  vi.spyOn(environment, 'environment').mockReturnValue(told);
  const health = (await (await ready()).json()) as { secrets: unknown };
  vi.restoreAllMocks();
  expect(health.secrets).toEqual({
    database: versions.SECRET_VERSION_DATABASE,
    jwt: versions.SECRET_VERSION_JWT,
  });
});

test('being alive asks nothing of MongoDB or Redis', async () => {
  await closeMongodb();
  closeRedis();
  const answer = live();
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ status: 'alive', revision: 'unknown' });
  expect((await redis()).status).toBe('ready');
  expect((await mongodb()).readyState).toBe(1);
});
