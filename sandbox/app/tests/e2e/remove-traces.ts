import { Redis } from 'ioredis';
import mongoose from 'mongoose';

/** Removes the database and the keys of this run. */
export default async function removeTraces(): Promise<void> {
  const { MONGODB_URI = '', REDIS_URL = '', REDIS_KEY_PREFIX = '' } = process.env;
  const connection = await mongoose.createConnection(MONGODB_URI).asPromise();
  await connection.dropDatabase();
  await connection.close();
  const redis = new Redis(REDIS_URL);
  const keys = await redis.keys(`${REDIS_KEY_PREFIX}*`);
  if (keys.length > 0) await redis.del(keys);
  redis.disconnect();
}
