import { expect, test } from 'vitest';
import { POST } from '@/app/api/presence/route';
import { environment } from '@/server/environment';
import { redis } from '@/server/redis';
import { issueTokens } from '@/server/tokens';

async function say(name: string): Promise<unknown> {
  const { accessToken } = await issueTokens(name, environment());
  const headers = { Authorization: `Bearer ${accessToken}` };
  const answer = await POST(new Request('http://kanvaro.test/', { method: 'POST', headers }));
  expect(answer.status).toBe(200);
  return answer.json();
}

test('who says often to be there is counted once among those who are', async () => {
  expect(await say('Ada')).toEqual({ name: 'Ada', times: 1, online: 1 });
  expect(await say('Ada')).toEqual({ name: 'Ada', times: 2, online: 1 });
  expect(await say('Grace')).toEqual({ name: 'Grace', times: 1, online: 2 });
});

test('who was last seen more than five minutes ago is not there', async () => {
  await (await redis()).zadd('presence', Date.now() - 300_001, 'Alan');
  const { online } = (await say('Ada')) as { online: number };
  expect(await (await redis()).zscore('presence', 'Alan')).toBeNull();
  expect(online).toBe(await (await redis()).zcard('presence'));
});

test('nobody is noted without a token', async () => {
  const answer = await POST(new Request('http://kanvaro.test/', { method: 'POST' }));
  expect(answer.status).toBe(401);
});
