import { logFailure } from '@/server/log';
import { redis } from '@/server/redis';

/** Counts a visit and returns how many there were, or undefined while Redis is away. */
export async function countVisit(): Promise<number | undefined> {
  try {
    return await (await redis()).incr('visits');
  } catch (error) {
    logFailure('visit not counted', error);
    return undefined;
  }
}
