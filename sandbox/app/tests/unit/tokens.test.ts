import { SignJWT, UnsecuredJWT, decodeProtectedHeader } from 'jose';
import { afterEach, expect, test, vi } from 'vitest';
import { InvalidToken, type Keys, type TokenUse, issueTokens, verifyToken } from '@/server/tokens';

const KEYS: Keys = {
  JWT_SECRET: 'pT9x0wYq3LkVb7Zr5NfUa1HsEjGd8MiC2o4KvQwX',
  JWT_REFRESH_SECRET: 'Zr5NfUa1HsEjGd8MiC2o4KvQwXpT9x0wYq3LkVb7',
  JWT_EXPIRES_IN: 900,
  JWT_REFRESH_EXPIRES_IN: 604_800,
};

afterEach(() => vi.useRealTimers());

async function refusal(token: string, use: TokenUse = 'access'): Promise<InvalidToken> {
  const error: unknown = await verifyToken(token, use, KEYS).catch((reason: unknown) => reason);
  if (error instanceof InvalidToken) return error;
  throw new Error('the token was accepted');
}

function forge(algorithm: string, key: string, audience = 'access', issuer = 'kanvaro') {
  return new SignJWT({})
    .setProtectedHeader({ alg: algorithm })
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
