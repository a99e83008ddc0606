import { z } from 'zod';

/** Published example values of the two JWT secrets: anyone can sign tokens with these. */
const WELL_KNOWN_SECRETS = new Set([
  'your-super-secret-jwt-key',
  'your-super-secret-refresh-key',
  'your-secret-key',
  'dev-jwt-secret',
  'dev-refresh-secret',
]);
const WELL_KNOWN_PART =
  /super-secret|jwt-secret|refresh-secret|secret-key|change-?me|change-in-production|^(your|dev|test|example|default)[-_]/i;
const MINIMUM_SECRET_LENGTH = 32;
const MINIMUM_DISTINCT_CHARACTERS = 10;

/** What is wrong with a value; one that is not there at all is `missing`. */
export const missingOr = (otherwise: string) => (issue: { input?: unknown }) =>
  issue.input === undefined ? 'is missing' : otherwise;

/** A key that nobody can guess. Messages never quote it: they end up in logs. */
export const secret = z
  .string({ error: missingOr('must be text') })
  .superRefine((value, context) => {
    if (WELL_KNOWN_SECRETS.has(value.toLowerCase()) || WELL_KNOWN_PART.test(value)) {
      context.addIssue('is a well-known example value; generate one: openssl rand -base64 48');
    } else if (value.length < MINIMUM_SECRET_LENGTH) {
      context.addIssue(`is shorter than ${MINIMUM_SECRET_LENGTH} characters`);
    } else if (new Set(value).size < MINIMUM_DISTINCT_CHARACTERS) {
      context.addIssue('repeats too few different characters');
    }
  });
