import { expect, test } from 'vitest';
import { GET as live } from '@/app/api/health/live/route';
import { GET as ready } from '@/app/api/health/route';
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
