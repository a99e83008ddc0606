import { once } from 'node:events';
import { Redis } from 'ioredis';
import { environment } from '@/server/environment';

const COMMAND_TIMEOUT_MILLISECONDS = 2000;

interface Held {
  client: Redis | undefined;
  lastFailure: unknown;
}

// On globalThis because Next may load this module once per bundle and anew on every hot reload.
const held = ((globalThis as { kanvaroRedis?: Held }).kanvaroRedis ??= {
  client: undefined,
  lastFailure: undefined,
});

function connect(): Redis {
  const client = new Redis(environment().REDIS_URL, {
    keyPrefix: environment().REDIS_KEY_PREFIX,
    connectTimeout: COMMAND_TIMEOUT_MILLISECONDS,
    commandTimeout: COMMAND_TIMEOUT_MILLISECONDS,
    maxRetriesPerRequest: 1,
    // A queue would keep commands while Redis is away, and their requests would hang.
    enableOfflineQueue: false,
    // The check sends INFO, which an account without dangerous commands may not use.
    enableReadyCheck: false,
    retryStrategy: (attempt) => Math.min(attempt * 100, 2000),
  });
  client.on('error', (error: unknown) => {
    held.lastFailure = error;
  });
  client.on('ready', () => {
    held.lastFailure = undefined;
  });
  return client;
}

/**
 * The shared client once it is connected and authenticated.
 *
 * @throws the last failure at once while Redis is known to be away, else after two seconds
 */
export async function redis(): Promise<Redis> {
  const client = (held.client ??= connect());
  if (client.status === 'ready') return client;
  if (held.lastFailure) throw held.lastFailure as Error;
  await once(client, 'ready', { signal: AbortSignal.timeout(COMMAND_TIMEOUT_MILLISECONDS) });
  return client;
}

/** Ends the connection; only tests end before their process does. */
export function closeRedis(): void {
  held.client?.disconnect();
  held.client = undefined;
  held.lastFailure = undefined;
}

export const redisDependency = {
  ping: async () => (await redis()).ping(),
  lastFailure: () => held.lastFailure,
};
