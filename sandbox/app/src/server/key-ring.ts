import { z } from 'zod';
import { secret } from '@/server/secret';

/** The key of tokens that name none: what signed them before there was a ring. */
export const LEGACY = 'legacy';

const kid = z
  .string('must be text')
  .regex(/^[\w.-]{1,64}$/, 'must be 1 to 64 letters, digits, ".", "_" or "-"');
const key = z.strictObject({ kid, k: secret }, 'must be an object');
const previousKey = z.strictObject(
  { kid, k: secret, not_after: z.int('must be seconds since 1970').positive() },
  'must be an object',
);

const ring = z
  .strictObject(
    { current: key, next: key, previous: z.array(previousKey, 'must be a list') },
    'must be an object',
  )
  .superRefine(({ current, next, previous }, context) => {
    const kids = [current, next, ...previous].map((one) => one.kid);
    if (new Set(kids).size < kids.length) context.addIssue('names two keys alike');
  });

const keyRings = z
  .strictObject({ access: ring, refresh: ring }, 'must be an object')
  .superRefine(({ access, refresh }, context) => {
    const ofAccess = new Set(keysOf(access));
    if (keysOf(refresh).some((k) => ofAccess.has(k))) {
      context.addIssue('has a key for both kinds of token');
    }
  });

type KeyRings = z.output<typeof keyRings>;

/** The keys that tokens of one use are signed with and verified by; `k` is used as UTF-8 bytes. */
export type KeyRing = Partial<KeyRings['access']> & Pick<KeyRings['access'], 'current'>;

function keysOf({ current, next, previous }: z.output<typeof ring>): string[] {
  return [current, next, ...previous].map(({ k }) => k);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Text as both rings. The problems name members of our own and quote nothing of the text. */
export const keyRingsAsText = z.string().transform((text, context): KeyRings => {
  const parsed = keyRings.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  for (const { code, path, message } of parsed.error.issues) {
    const problem = code === 'unrecognized_keys' ? 'holds an unknown member' : message;
    context.addIssue([path.join('.'), problem].filter(Boolean).join(' '));
  }
  return z.NEVER;
});

/**
 * The key that verifies tokens which name it, or undefined when the ring does not hold it any
 * more. `now` is in seconds since 1970.
 */
export function verifyingKey(ring: KeyRing, kid: string, now: number): string | undefined {
  const { current, next, previous = [] } = ring;
  const unexpired = previous.filter(({ not_after }) => not_after > now);
  return [current, next, ...unexpired].find((one) => one?.kid === kid)?.k;
}
