import { SignJWT, UnsecuredJWT, decodeProtectedHeader } from 'jose';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { KeyRing } from '@/server/key-ring';
import { InvalidToken, type Keys, type TokenUse, issueTokens, verifyToken } from '@/server/tokens';

const KEYS: Keys = {
  JWT_SECRET: 'pT9x0wYq3LkVb7Zr5NfUa1HsEjGd8MiC2o4KvQwX',
  JWT_REFRESH_SECRET: 'Zr5NfUa1HsEjGd8MiC2o4KvQwXpT9x0wYq3LkVb7',
  JWT_EXPIRES_IN: 900,
  JWT_REFRESH_EXPIRES_IN: 604_800,
};

afterEach(() => vi.useRealTimers());

async function refusal(
  token: string,
  use: TokenUse = 'access',
  keys: Keys = KEYS,
): Promise<InvalidToken> {
  const error: unknown = await verifyToken(token, use, keys).catch((reason: unknown) => reason);
  if (error instanceof InvalidToken) return error;
  throw new Error('the token was accepted');
}

function forge(
  algorithm: string,
  key: string,
  audience = 'access',
  issuer = 'kanvaro',
  header: { kid?: unknown } = {},
) {
  return new SignJWT({})
    .setProtectedHeader({ alg: algorithm, ...(header as { kid?: string }) })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject('Mallory')
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(key));
}

test('both tokens of a pair name whom they were issued for', async () => {
  const pair = await issueTokens('Ada', KEYS);
  expect(await verifyToken(pair.accessToken, 'access', KEYS)).toBe('Ada');
  expect(await verifyToken(pair.refreshToken, 'refresh', KEYS)).toBe('Ada');
  expect(decodeProtectedHeader(pair.accessToken).alg).toBe('HS256');
});

test('a forged token with our own claims would be accepted only with our key', async () => {
  expect(await verifyToken(await forge('HS256', KEYS.JWT_SECRET), 'access', KEYS)).toBe('Mallory');
  const stranger = await forge('HS256', 'dev-jwt-secret-dev-jwt-secret-dev');
  expect((await refusal(stranger)).expired).toBe(false);
});

test('no other algorithm is accepted, not even with the right key', async () => {
  await refusal(await forge('HS512', KEYS.JWT_SECRET + KEYS.JWT_SECRET));
  await refusal(await forge('HS384', KEYS.JWT_SECRET + KEYS.JWT_SECRET));
  await refusal(new UnsecuredJWT({}).setSubject('Mallory').setExpirationTime('1h').encode());
});

test('a refresh token is not an access token and the other way round', async () => {
  const pair = await issueTokens('Ada', KEYS);
  await refusal(pair.refreshToken);
  await refusal(pair.accessToken, 'refresh');
  await refusal(await forge('HS256', KEYS.JWT_SECRET, 'refresh'));
});

test('a token of another issuer is refused', async () => {
  await refusal(await forge('HS256', KEYS.JWT_SECRET, 'access', 'elsewhere'));
});

test('an access token lives as long as JWT_EXPIRES_IN and a little for skewed clocks', async () => {
  vi.useFakeTimers();
  const { accessToken } = await issueTokens('Ada', KEYS);
  vi.advanceTimersByTime(904_000);
  expect(await verifyToken(accessToken, 'access', KEYS)).toBe('Ada');
  vi.advanceTimersByTime(2000);
  expect((await refusal(accessToken)).expired).toBe(true);
});

test('a token whose name was changed is refused', async () => {
  const { accessToken } = await issueTokens('Ada', KEYS);
  const [header, , signature] = accessToken.split('.');
  const claims = Buffer.from('{"sub":"Mallory","aud":"access","iss":"kanvaro"}');
  await refusal(`${header ?? ''}.${claims.toString('base64url')}.${signature ?? ''}`);
});

describe('with a key ring', () => {
  const NOW = Date.UTC(2026, 0, 4) / 1000;
  type Name = 'legacy' | 'one' | 'two' | 'three';
  const keyOf = (use: TokenUse, kid: Name) => `${use}-${kid}-pT9x0wYq3LkVb7Zr5NfUa1HsEjGd`;
  const named = (use: TokenUse, kid: Name) => ({ kid, k: keyOf(use, kid) });

  type Previous = [kid: Name, not_after: number][];
  function ring(use: TokenUse, current: Name, next: Name, previous: Previous): KeyRing {
    const former = previous.map(([kid, not_after]) => ({ ...named(use, kid), not_after }));
    return { current: named(use, current), next: named(use, next), previous: former };
  }

  function keys(current: Name, next: Name, previous: Previous = []): Keys {
    return {
      ...KEYS,
      JWT_SECRET: keyOf('access', current),
      JWT_REFRESH_SECRET: keyOf('refresh', current),
      JWT_RING: {
        access: ring('access', current, next, previous),
        refresh: ring('refresh', current, next, previous),
      } as NonNullable<Keys['JWT_RING']>,
    };
  }

  test('the current key signs and is named in the header', async () => {
    const pair = await issueTokens('Ada', keys('one', 'two'));
    expect(decodeProtectedHeader(pair.accessToken)).toMatchObject({ alg: 'HS256', kid: 'one' });
    expect(decodeProtectedHeader(pair.refreshToken).kid).toBe('one');
  });

  test('a token is good before, during and after the rotation that demotes its key', async () => {
    const before = keys('one', 'two');
    const after = keys('two', 'three', [['one', Date.now() / 1000 + 60]]);
    for (const [minted, met] of [
      [before, after],
      [after, before],
    ] as const) {
      const pair = await issueTokens('Ada', minted);
      expect(await verifyToken(pair.accessToken, 'access', met)).toBe('Ada');
      expect(await verifyToken(pair.refreshToken, 'refresh', met)).toBe('Ada');
    }
  });

  test('a key is dead at the second of its not_after and another one is not', async () => {
    vi.useFakeTimers({ now: NOW * 1000 });
    const { accessToken } = await issueTokens('Ada', keys('one', 'two'));
    const met = keys('two', 'three', [['one', NOW + 60]]);
    vi.setSystemTime((NOW + 59) * 1000);
    expect(await verifyToken(accessToken, 'access', met)).toBe('Ada');
    vi.setSystemTime((NOW + 60) * 1000);
    expect((await refusal(accessToken, 'access', met)).message).toBe('the token is not valid');
    const { accessToken: fresh } = await issueTokens('Ada', met);
    expect(await verifyToken(fresh, 'access', met)).toBe('Ada');
  });

  test('a token that names no key is verified by the legacy key alone', async () => {
    const old = await forge('HS256', keyOf('access', 'legacy'));
    const later = Date.now() / 1000 + 60;
    expect(await verifyToken(old, 'access', keys('legacy', 'one'))).toBe('Mallory');
    expect(await verifyToken(old, 'access', keys('one', 'two', [['legacy', later]]))).toBe(
      'Mallory',
    );
    await refusal(old, 'access', keys('one', 'two', [['legacy', later - 120]]));
    await refusal(old, 'access', keys('one', 'two'));
    await refusal(await forge('HS256', keyOf('access', 'one')), 'access', keys('one', 'two'));
  });

  test('an instance without a ring and one whose ring begins with its secret agree', async () => {
    const legacy = keys('legacy', 'one');
    const without = { ...legacy, JWT_RING: undefined };
    for (const [minted, met] of [
      [legacy, without],
      [without, legacy],
    ] as const) {
      const { refreshToken } = await issueTokens('Ada', minted);
      expect(await verifyToken(refreshToken, 'refresh', met)).toBe('Ada');
    }
  });

  test.each<[string, unknown]>([
    ['an unknown key', 'four'],
    ['the name of another key of the ring', 'two'],
    ['no text', 1],
    ['null', null],
    ['a member of every object', 'constructor'],
    ['nothing', ''],
  ])('a good signature whose header names %s is refused', async (_, kid) => {
    const token = await forge('HS256', keyOf('access', 'one'), 'access', 'kanvaro', { kid });
    await refusal(token, 'access', keys('one', 'two'));
  });

  test('a named key opens neither another algorithm nor none', async () => {
    const met = keys('one', 'two');
    const k = keyOf('access', 'one');
    await refusal(await forge('HS384', k, 'access', 'kanvaro', { kid: 'one' }), 'access', met);
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { sub: 'Mallory', iss: 'kanvaro', aud: 'access', iat: NOW, exp: NOW * 2 };
    await refusal(`${part({ alg: 'none', kid: 'one' })}.${part(claims)}.`, 'access', met);
  });

  test('the two rings do not open for each other', async () => {
    const met = keys('one', 'two');
    const wrongRing = { kid: 'one' };
    const refresh = keyOf('refresh', 'one');
    await refusal(await forge('HS256', refresh, 'access', 'kanvaro', wrongRing), 'access', met);
  });
});
