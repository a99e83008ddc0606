import { createHash } from 'node:crypto';
import { environment } from '@/server/environment';
import { logFailure } from '@/server/log';
import { redis } from '@/server/redis';

/** The address that our own proxy saw: the last entry, since a client can invent the others. */
function clientAddress(request: Request): string {
  return request.headers.get('x-forwarded-for')?.split(',').at(-1)?.trim() ?? 'direct';
}

/**
 * Whether this client made more than RATE_LIMIT_MAX_REQUESTS calls in the current window.
 * While Redis is away nobody is limited: being open beats being down.
 */
export async function exceedsRateLimit(request: Request): Promise<boolean> {
  const { RATE_LIMIT_WINDOW_MS: window, RATE_LIMIT_MAX_REQUESTS: maximum } = environment();
  const client = createHash('sha256').update(clientAddress(request)).digest('base64url');
  const key = `rate:${client.slice(0, 22)}:${Math.floor(Date.now() / window)}`;
  try {
    const answers = await (await redis()).multi().incr(key).pexpire(key, window).exec();
    return Number(answers?.[0]?.[1] ?? 0) > maximum;
  } catch (error) {
    logFailure('rate limit not checked', error);
    return false;
  }
}
