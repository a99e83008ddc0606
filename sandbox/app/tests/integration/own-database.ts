import { randomBytes } from 'node:crypto';
import { afterAll } from 'vitest';
import { closeMongodb, mongodb } from '@/server/mongodb';
import { closeRedis, redis } from '@/server/redis';
import { withDatabase } from '../../tools/test-database.mjs';

// Each test file gets a database and a key prefix of its own: runs may overlap.
const own = `test_${randomBytes(6).toString('hex')}`;
const secrets = { JWT_SECRET: randomBytes(48), JWT_REFRESH_SECRET: randomBytes(48) };

process.env.MONGODB_URI = withDatabase(process.env.MONGODB_URI ?? '', `kanvaro_${own}`);
process.env.REDIS_KEY_PREFIX = `kanvaro:${own}:`;
for (const [name, value] of Object.entries(secrets)) process.env[name] = value.toString('base64');

afterAll(async () => {
  const connection = await mongodb();
  await connection.getClient().db(connection.name).dropDatabase();
  await closeMongodb();
  const client = await redis().catch(() => undefined);
  for (const key of (await client?.keys(`kanvaro:${own}:*`)) ?? []) {
    // The client would put its prefix in front of the prefix that the key already has.
    await client?.del(key.slice(`kanvaro:${own}:`.length));
  }
  closeRedis();
});
