import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { describe, expect, test } from 'vitest';
import { EnvironmentError, VARIABLE_NAMES, parseEnvironment } from '@/server/environment';

const VALID = {
  MONGODB_URI: 'mongodb://kanvaro:canary-mongo@db.internal:27017/kanvaro', // pragma: allowlist secret
  REDIS_URL: 'redis://:canary-redis@cache.internal:6379', // pragma: allowlist secret
  JWT_SECRET: 'pT9x0wYq3LkVb7Zr5NfUa1HsEjGd8MiC2o4KvQwX',
  JWT_REFRESH_SECRET: 'Zr5NfUa1HsEjGd8MiC2o4KvQwXpT9x0wYq3LkVb7',
};

function problems(changes: Record<string, string | undefined>): readonly string[] {
  try {
    parseEnvironment({ ...VALID, ...changes });
  } catch (error) {
    if (error instanceof EnvironmentError) return error.problems;
    throw error;
  }
  return [];
}

test('the four variables without a default are enough', () => {
  expect(parseEnvironment(VALID)).toEqual({
    ...VALID,
    NODE_ENV: 'development',
    PORT: 3000,
    LOG_LEVEL: 'info',
    REDIS_KEY_PREFIX: 'kanvaro:',
    JWT_EXPIRES_IN: 900,
    JWT_REFRESH_EXPIRES_IN: 604_800,
    SMTP_PORT: 587,
    AWS_REGION: 'us-east-1',
    S3_BUCKET: 'kanvaro-storage',
    BCRYPT_ROUNDS: 12,
    RATE_LIMIT_WINDOW_MS: 900_000,
    RATE_LIMIT_MAX_REQUESTS: 1000,
    ENABLE_2FA: true,
    ENABLE_SSO: false,
    ENABLE_ANALYTICS: true,
  });
});

test('all that is missing is named at once', () => {
  expect(() => parseEnvironment({})).toThrow(EnvironmentError);
  const named = ['MONGODB_URI', 'REDIS_URL', 'JWT_SECRET', 'JWT_REFRESH_SECRET'];
  const missing = problems(Object.fromEntries(named.map((name) => [name, undefined])));
  expect(missing).toEqual(named.map((name) => `${name} is missing`));
});

test('an empty value counts as missing, or as not set where there is a default', () => {
  expect(problems({ JWT_SECRET: '  ' })).toEqual(['JWT_SECRET is missing']);
  expect(parseEnvironment({ ...VALID, PORT: '', SENTRY_DSN: '' })).toMatchObject({ PORT: 3000 });
});

describe.each(['JWT_SECRET', 'JWT_REFRESH_SECRET'])('%s', (name) => {
  test.each([
    'your-super-secret-jwt-key',
    'your-super-secret-refresh-key',
    'your-secret-key',
    'dev-jwt-secret',
    'dev-refresh-secret',
    'DEV-JWT-SECRET',
    'your-super-secret-jwt-key-change-in-production',
    'please-change-me-please-change-me-please',
    'short-but-random-9x0wYq',
    'abababababababababababababababababababab',
  ])('refuses the well-known or weak value %s', (value) => {
    const found = problems({ [name]: value });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(new RegExp(`^${name} `));
  });
});

test('one secret may not sign both kinds of token', () => {
  expect(problems({ JWT_REFRESH_SECRET: VALID.JWT_SECRET })).toEqual([
    'JWT_REFRESH_SECRET must differ from JWT_SECRET',
  ]);
});

describe('JWT_RING', () => {
  const RING = {
    access: {
      current: { kid: 'one', k: VALID.JWT_SECRET },
      next: { kid: 'two', k: 'canary-access-two-0123456789-abcdefghij' },
      previous: [
        { kid: 'legacy', k: 'canary-access-legacy-0123456789-abcdef', not_after: 1_800_000_000 },
      ],
    },
    refresh: {
      current: { kid: 'one', k: VALID.JWT_REFRESH_SECRET },
      next: { kid: 'two', k: 'canary-refresh-two-0123456789-abcdefghi' },
      previous: [],
    },
  };

  /** What is said when one member of the ring, by its path, is another value. */
  function changed(path: string, value: unknown): readonly string[] {
    const ring = structuredClone(RING) as Record<string, unknown>;
    const names = path.split('.');
    const last = names.pop() ?? '';
    const holder = names.reduce((one, name) => one[name] as Record<string, unknown>, ring);
    holder[last] = value;
    return problems({ JWT_RING: JSON.stringify(ring) });
  }

  test('is read as it is', () => {
    const parsed = parseEnvironment({ ...VALID, JWT_RING: JSON.stringify(RING) });
    expect(parsed.JWT_RING).toEqual(RING);
  });

  test.each<[string, unknown, string]>([
    ['access', undefined, 'JWT_RING access must be an object'],
    ['access.next', undefined, 'JWT_RING access.next must be an object'],
    ['refresh.previous', {}, 'JWT_RING refresh.previous must be a list'],
    ['access.next.k', undefined, 'JWT_RING access.next.k is missing'],
    ['access.next.k', 'canary', 'JWT_RING access.next.k is shorter than 32 characters'],
    [
      'access.next.k',
      'ca'.repeat(20),
      'JWT_RING access.next.k repeats too few different characters',
    ],
    ['access.next.kid', 'canary kid', 'JWT_RING access.next.kid must be 1 to 64 letters'],
    ['access.next.kid', 'one', 'JWT_RING access names two keys alike'],
    ['access.previous.0.kid', 'two', 'JWT_RING access names two keys alike'],
    ['access.previous.0.not_after', '1800000000', 'JWT_RING access.previous.0.not_after must be'],
    ['access.previous.0.not_after', 1.5, 'JWT_RING access.previous.0.not_after must be'],
    ['access.current.not_after', 1, 'JWT_RING access.current holds an unknown member'],
    ['canary', 1, 'JWT_RING holds an unknown member'],
    ['refresh.next.k', VALID.JWT_SECRET, 'JWT_RING has a key for both kinds of token'],
    [
      'access.current.k',
      'canary-access-three-0123456789-abcdefgh',
      'JWT_RING has another current key for access tokens than JWT_SECRET',
    ],
    [
      'refresh.current.k',
      'canary-refresh-three-0123456789-abcdefg',
      'JWT_RING has another current key for refresh tokens than JWT_REFRESH_SECRET',
    ],
    [
      'access.next.k',
      'your-super-secret-jwt-key-change-in-production',
      'JWT_RING access.next.k is a well-known example value',
    ],
  ])('with %s as %j is refused and not quoted', (path, value, message) => {
    const found = changed(path, value);
    expect(found).toHaveLength(1);
    expect(found[0]?.startsWith(message)).toBe(true);
    expect(found[0]).not.toMatch(/canary|super-secret/);
  });

  test.each(['canary', '{"access":"canary', '"canary"', 'null', '[]'])(
    'as %s is refused and not quoted',
    (text) => {
      expect(problems({ JWT_RING: text })).toEqual(['JWT_RING must be an object']);
    },
  );
});

test('the id of a version is taken and anything that could be a secret is not', () => {
  const id = '0b7c5f0e-6a51-5c7e-9a43-2f5d1f3c9a10';
  expect(parseEnvironment({ ...VALID, SECRET_VERSION_JWT: id })).toMatchObject({
    SECRET_VERSION_JWT: id,
  });
  expect(problems({ SECRET_VERSION_JWT: VALID.JWT_SECRET })).toEqual([
    'SECRET_VERSION_JWT must be the id of a version (a UUID)',
  ]);
});

test.each([
  ['MONGODB_URI', 'postgres://db/kanvaro'],
  ['MONGODB_URI', 'mongodb://username:password@host:port/database'],
  ['REDIS_URL', 'http://cache:6379'],
  ['REDIS_URL', 'redis://username:password@host:6379'],
  ['REDIS_KEY_PREFIX', 'a b'],
  ['NODE_ENV', 'staging'],
  ['PORT', '0'],
  ['PORT', '65536'],
  ['PORT', '3000x'],
  ['LOG_LEVEL', 'loud'],
  ['JWT_EXPIRES_IN', '15'],
  ['JWT_EXPIRES_IN', '0m'],
  ['JWT_REFRESH_EXPIRES_IN', '1y'],
  ['SMTP_PORT', 'smtp'],
  ['SMTP_FROM', 'kanvaro'],
  ['SMTP_USER', 'your-email@gmail.com'],
  ['SMTP_CA', '/etc/ssl/ca.pem'],
  ['AZURE_COMMUNICATION_CONNECTION_STRING', 'your-connection-string'],
  ['AZURE_COMMUNICATION_CONNECTION_STRING', 'accesskey=x'],
  ['AWS_REGION', 'mars'],
  ['S3_BUCKET', 'Kanvaro Storage'],
  ['BCRYPT_ROUNDS', '4'],
  ['RATE_LIMIT_WINDOW_MS', '15m'],
  ['RATE_LIMIT_MAX_REQUESTS', '-1'],
  ['SENTRY_DSN', 'your-sentry-dsn'],
  ['ENABLE_2FA', 'yes'],
  ['ENABLE_SSO', '1'],
  ['ENABLE_ANALYTICS', 'TRUE'],
])('%s=%s is refused by its name', (name, value) => {
  const found = problems({ [name]: value });
  expect(found.some((problem) => problem.startsWith(`${name} `))).toBe(true);
});

test.each([
  [{ SMTP_HOST: 'smtp.example.org' }, 'SMTP_FROM'],
  [{ SMTP_USER: 'kanvaro' }, 'SMTP_PASS'],
  [{ SMTP_PASS: 'canary' }, 'SMTP_USER'],
  [{ AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE' }, 'AWS_SECRET_ACCESS_KEY'],
  [{ AWS_SECRET_ACCESS_KEY: 'canary' }, 'AWS_ACCESS_KEY_ID'],
])('%o alone misses %s', (given, missing) => {
  expect(problems(given)[0]).toMatch(new RegExp(`^${missing} is missing`));
});

test('the message quotes no value', () => {
  const broken = {
    MONGODB_URI: 'canary://canary',
    REDIS_URL: 'canary://canary',
    JWT_SECRET: 'canary',
    PORT: 'canary',
    SENTRY_DSN: 'canary',
    ENABLE_SSO: 'canary',
    SMTP_FROM: 'canary',
  };
  expect(problems(broken)).toHaveLength(Object.keys(broken).length);
  expect(problems(broken).join(' ')).not.toContain('canary');
});

describe('.env.example', () => {
  const example = parseEnv(
    readFileSync(new URL('../../.env.example', import.meta.url), 'utf8').replace(
      /^# ?(?=\w+=)/gm,
      '',
    ),
  );

  test('lists every variable of the contract', () => {
    expect(Object.keys(example)).toEqual(expect.arrayContaining([...VARIABLE_NAMES]));
  });

  test('holds nothing that a server would start with', () => {
    expect(() => parseEnvironment(example as Record<string, string>)).toThrow(
      /JWT_SECRET is missing/,
    );
  });
});
