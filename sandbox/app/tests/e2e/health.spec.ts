import { expect, test } from '@playwright/test';

const revision = process.env.REVISION?.trim() || 'unknown';

test('the server is ready and says from which revision it was built', async ({ request }) => {
  const answer = await request.get('/api/health');
  expect(answer.status()).toBe(200);
  expect(answer.headers()['cache-control']).toBe('no-store');
  expect(await answer.json()).toMatchObject({ status: 'ready', revision });
});

test('the server is alive', async ({ request }) => {
  const answer = await request.get('/api/health/live');
  expect(await answer.json()).toEqual({ status: 'alive', revision });
});

test('two answers about health are two examinations, none is kept', async ({ request }) => {
  const answers = [await request.get('/api/health'), await request.get('/api/health')];
  for (const answer of answers) expect(answer.headers()['x-nextjs-cache']).toBeUndefined();
});
