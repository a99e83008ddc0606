import { expect, test } from 'vitest';
import { GET, POST } from '@/app/api/session/route';
import type { TokenPair } from '@/server/tokens';

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

test('a name that could be markup is refused', async () => {
  const answer = await open({ name: '<script>' });
  expect(answer.status).toBe(400);
});
