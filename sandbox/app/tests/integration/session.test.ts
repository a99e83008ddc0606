import { expect, test } from 'vitest';
import { GET, POST } from '@/app/api/session/route';
import { POST as refresh } from '@/app/api/session/refresh/route';
import type { AccessToken, TokenPair } from '@/server/tokens';

const ADDRESS = 'http://kanvaro.test/api/session';

function open(body: unknown): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' };
  return POST(new Request(ADDRESS, { method: 'POST', headers, body: JSON.stringify(body) }));
}

function ask(authorization?: string): Promise<Response> {
  const headers = authorization ? { Authorization: authorization } : {};
  return GET(new Request(ADDRESS, { headers }));
}

test('a session that was opened is recognised by its access token', async () => {
  const opened = await open({ name: 'Ada' });
  expect(opened.status).toBe(201);
  const { accessToken, expiresIn } = (await opened.json()) as TokenPair;
  expect(expiresIn).toBe(900);
  const answer = await ask(`Bearer ${accessToken}`);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ name: 'Ada' });
});

test('no token, another scheme, rubbish or a refresh token open nothing', async () => {
  const { refreshToken } = (await (await open({ name: 'Ada' })).json()) as TokenPair;
  const given = [undefined, 'Basic YTpi', 'Bearer a.b.c', `Bearer ${refreshToken}`];
  for (const authorization of given) {
    const answer = await ask(authorization);
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
  }
});

function goOn(token: string): Promise<Response> {
  const headers = { Authorization: `Bearer ${token}` };
  return refresh(new Request(`${ADDRESS}/refresh`, { method: 'POST', headers }));
}

test('a refresh token is answered with an access token that opens the session again', async () => {
  const { refreshToken } = (await (await open({ name: 'Ada' })).json()) as TokenPair;
  const answer = await goOn(refreshToken);
  expect(answer.status).toBe(201);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  const { accessToken, tokenType, expiresIn } = (await answer.json()) as AccessToken;
  expect([tokenType, expiresIn]).toEqual(['Bearer', 900]);
  expect(await (await ask(`Bearer ${accessToken}`)).json()).toEqual({ name: 'Ada' });
});

test('an access token is no refresh token', async () => {
  const { accessToken } = (await (await open({ name: 'Ada' })).json()) as TokenPair;
  expect((await goOn(accessToken)).status).toBe(401);
});

test('a name that could be markup is refused', async () => {
  const answer = await open({ name: '<script>' });
  expect(answer.status).toBe(400);
});
