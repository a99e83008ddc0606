import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type FailureReason, TimedOut, failureReason } from '@/server/failure';
import { type Dependency, readiness } from '@/server/health';

const answering: Dependency = { ping: () => Promise.resolve('PONG') };
const hanging: Dependency = { ping: () => new Promise(() => undefined) };

function failing(error: unknown): Dependency {
  return {
    ping: () => {
      throw error as Error;
    },
  };
}

function systemError(code: string): Error {
  return Object.assign(new Error(`connect ${code} 10.1.2.3:27017`), { code });
}

describe('readiness', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  test('is given when every dependency answers', async () => {
    expect(await readiness({ mongodb: answering, redis: answering }, 'abc')).toEqual({
      status: 'ready',
      revision: 'abc',
      checks: { mongodb: { ok: true, milliseconds: 0 }, redis: { ok: true, milliseconds: 0 } },
    });
  });

  test('waits for a dependency that hangs no longer than its time-out', async () => {
    const health = readiness({ mongodb: hanging, redis: answering }, 'abc');
    await vi.advanceTimersByTimeAsync(2000);
    expect(await health).toEqual({
      status: 'not ready',
      revision: 'abc',
      checks: {
        mongodb: { ok: false, milliseconds: 2000, reason: 'timed out' },
        redis: { ok: true, milliseconds: 0 },
      },
    });
  });

  test('asks all dependencies at once', async () => {
    const health = readiness({ mongodb: hanging, redis: hanging }, 'abc', 500);
    await vi.advanceTimersByTimeAsync(500);
    const { checks } = await health;
    expect([checks.mongodb.milliseconds, checks.redis.milliseconds]).toEqual([500, 500]);
  });

  test('tells for a silent dependency what its driver saw last', async () => {
    const refused = { ...hanging, lastFailure: () => systemError('ECONNREFUSED') };
    const health = readiness({ mongodb: refused }, 'abc');
    await vi.advanceTimersByTimeAsync(2000);
    expect((await health).checks.mongodb.reason).toBe('refused');
  });

  test('does not blame an old failure when the dependency just answered with another', async () => {
    const dependency = {
      ...failing(new Error('WRONGPASS invalid username-password pair')),
      lastFailure: () => systemError('ECONNREFUSED'),
    };
    const { checks } = await readiness({ redis: dependency }, 'abc');
    expect(checks.redis.reason).toBe('authentication failed');
  });

  test('leaves no timer behind', async () => {
    await readiness({ mongodb: answering, redis: failing(new Error('x')) }, 'abc');
    expect(vi.getTimerCount()).toBe(0);
  });

  test('publishes neither host nor error text', async () => {
    const { checks } = await readiness({ redis: failing(systemError('EHOSTUNREACH')) }, 'abc');
    expect(JSON.stringify(checks)).not.toMatch(/10\.1\.2\.3|EHOST/);
    expect(checks.redis.reason).toBe('unavailable');
  });
});

function serverSelection(inner: unknown): Error {
  const servers = new Map([['10.1.2.3:27017', { error: inner }]]);
  const message = 'Server selection timed out after 5000 ms';
  return Object.assign(new Error(message), { reason: { servers } });
}

const cyclic: { cause?: unknown } = {};
cyclic.cause = cyclic;

test.each<[string, unknown, FailureReason]>([
  ['a refused connection', systemError('ECONNREFUSED'), 'refused'],
  ['both addresses refused', new AggregateError([systemError('ECONNREFUSED')]), 'refused'],
  [
    'no server of a set',
    serverSelection(new Error('x', { cause: systemError('ECONNREFUSED') })),
    'refused',
  ],
  ['a lost SYN', systemError('ETIMEDOUT'), 'timed out'],
  ['our own time-out', new TimedOut(), 'timed out'],
  ['an aborted wait', AbortSignal.abort(new DOMException('', 'TimeoutError')).reason, 'timed out'],
  ['a slow command', new Error('Command timed out'), 'timed out'],
  ['no login to Redis', new Error('NOAUTH Authentication required.'), 'authentication failed'],
  ['a wrong MongoDB password', Object.assign(new Error(), { code: 18 }), 'authentication failed'],
  ['a revoked MongoDB user', Object.assign(new Error(), { code: 13 }), 'authentication failed'],
  ['a wrong Atlas password', new Error('bad auth : x'), 'authentication failed'],
  ['a wrong SMTP password', systemError('EAUTH'), 'authentication failed'],
  ['an unknown host', systemError('ENOTFOUND'), 'unavailable'],
  ['a thrown string', 'ECONNREFUSED', 'unavailable'],
  ['nothing', undefined, 'unavailable'],
  ['a cycle of causes', cyclic, 'unavailable'],
])('%s is reported by its reason', (_, error, reason) => {
  expect(failureReason(error)).toBe(reason);
});
