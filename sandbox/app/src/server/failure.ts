export type FailureReason = 'timed out' | 'refused' | 'authentication failed' | 'unavailable';

/** Thrown when a call took longer than it was given. */
export class TimedOut extends Error {
  override readonly name = 'TimedOut';
}

// Unauthorized, AuthenticationFailed, AtlasError.
const MONGODB_AUTHENTICATION_CODES = new Set<unknown>([13, 18, 8000]);
const AUTHENTICATION_MESSAGE = /\b(WRONGPASS|NOAUTH|bad auth|authentication failed)\b/i;
const TIMEOUT_NAMES = new Set<unknown>(['TimedOut', 'TimeoutError', 'MongoNetworkTimeoutError']);
const MAXIMUM_DEPTH = 6;

function ownReason(error: Record<string, unknown>): FailureReason | undefined {
  const { code, codeName, name, message } = error;
  if (
    MONGODB_AUTHENTICATION_CODES.has(code) ||
    codeName === 'AuthenticationFailed' ||
    code === 'EAUTH' || // nodemailer
    (typeof message === 'string' && AUTHENTICATION_MESSAGE.test(message))
  ) {
    return 'authentication failed';
  }
  if (code === 'ECONNREFUSED') return 'refused';
  const timedOut = code === 'ETIMEDOUT' || message === 'Command timed out';
  return timedOut || TIMEOUT_NAMES.has(name) ? 'timed out' : undefined;
}

/** Errors wrapped inside another: causes, aggregates and MongoDB's description of its servers. */
function wrapped(error: Record<string, unknown>): unknown[] {
  const { cause, errors, reason, error: inner, servers } = error;
  return [
    cause,
    reason,
    inner,
    ...(Array.isArray(errors) ? (errors as unknown[]) : []),
    ...(servers instanceof Map ? (servers.values() as Iterable<unknown>) : []),
  ].filter((candidate) => typeof candidate === 'object' && candidate !== null);
}

function findReason(error: unknown, depth: number): FailureReason | undefined {
  if (typeof error !== 'object' || error === null || depth > MAXIMUM_DEPTH) return undefined;
  const fields = error as Record<string, unknown>;
  const own = ownReason(fields);
  if (own) return own;
  for (const inner of wrapped(fields)) {
    const reason = findReason(inner, depth + 1);
    if (reason) return reason;
  }
  return undefined;
}

/**
 * Why a dependency failed, in words that are safe to publish: no host, user or error text.
 * The first of the errors that tells a reason decides.
 */
export function failureReason(...errors: unknown[]): FailureReason {
  for (const error of errors) {
    const reason = findReason(error, 0);
    if (reason) return reason;
  }
  return 'unavailable';
}
