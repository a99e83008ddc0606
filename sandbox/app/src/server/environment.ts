import { z } from 'zod';
import { keyRingsAsText } from '@/server/key-ring';
import { missingOr, secret } from '@/server/secret';

const PLACEHOLDER = /^your-[a-z@.-]+$/i;

// Messages name what is wrong and never quote a value: they end up in logs.
const text = z.string({ error: missingOr('must be text') });

const mongodbUri = text
  .regex(/^mongodb(\+srv)?:\/\/[^\s/]+/, 'must start with mongodb:// or mongodb+srv:// and a host')
  .refine((value) => !value.includes('username:password@'), 'still holds the example credentials');

const redisUrl = text
  .refine((value) => URL.canParse(value) && /^rediss?:\/\/[^/]/.test(value), {
    error: 'must start with redis:// or rediss:// and a host',
  })
  .refine((value) => !value.includes('username:password@'), 'still holds the example credentials');

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** A duration such as 15m or 7d, in seconds. */
const duration = text
  .regex(/^[1-9]\d{0,5}[smhd]$/, 'must be a number and a unit (s, m, h or d), such as 15m')
  .transform((value) => parseInt(value, 10) * UNITS[value.slice(-1) as keyof typeof UNITS]);

const integer = (minimum: number, maximum: number) =>
  text
    .regex(/^\d{1,12}$/, `must be a whole number from ${minimum} to ${maximum}`)
    .transform(Number)
    .refine((value) => value >= minimum && value <= maximum, {
      error: `must be a whole number from ${minimum} to ${maximum}`,
    });

const flag = z
  .enum(['true', 'false'], { error: missingOr('must be true or false') })
  .transform((value) => value === 'true');

/** Published by the health endpoint, so nothing passes that could be a secret picked by mistake. */
const versionId = text
  .regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'must be the id of a version (a UUID)')
  .optional();

const mailbox = z.email({ error: missingOr('must be an e-mail address') });
const oneOf = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.enum(names, { error: missingOr(`must be one of ${names.join(', ')}`) });

const variables = z.object({
  NODE_ENV: oneOf(['development', 'test', 'production']).default('development'),
  PORT: integer(1, 65_535).default(3000),
  LOG_LEVEL: oneOf(['debug', 'info', 'warn', 'error']).default('info'),

  MONGODB_URI: mongodbUri,
  REDIS_URL: redisUrl,
  REDIS_KEY_PREFIX: text
    .regex(/^[0-9a-z:_-]{1,64}$/, 'must be 1 to 64 of a-z, 0-9, ":", "_", "-"')
    .default('kanvaro:'),

  JWT_SECRET: secret,
  JWT_REFRESH_SECRET: secret,
  JWT_RING: keyRingsAsText.optional(),
  JWT_EXPIRES_IN: duration.default(15 * 60),
  JWT_REFRESH_EXPIRES_IN: duration.default(7 * 86_400),

  SMTP_HOST: text.optional(),
  SMTP_PORT: integer(1, 65_535).default(587),
  SMTP_USER: text.optional(),
  SMTP_PASS: text.optional(),
  SMTP_FROM: mailbox.optional(),
  SMTP_CA: text
    .regex(/^-----BEGIN CERTIFICATE-----/, 'must be certificates in PEM form')
    .optional(),
  AZURE_COMMUNICATION_CONNECTION_STRING: text
    .regex(/endpoint=https:\/\//i, 'must be a connection string with endpoint=https://')
    .optional(),

  AWS_REGION: text.regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'must be a region name').default('us-east-1'),
  // Optional on purpose: on AWS the instance role supplies short-lived credentials.
  AWS_ACCESS_KEY_ID: text.optional(),
  AWS_SECRET_ACCESS_KEY: text.optional(),
  S3_BUCKET: text
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be a bucket name')
    .default('kanvaro-storage'),

  SECRET_VERSION_DATABASE: versionId,
  SECRET_VERSION_JWT: versionId,
  SECRET_VERSION_EMAIL: versionId,

  BCRYPT_ROUNDS: integer(10, 15).default(12),
  RATE_LIMIT_WINDOW_MS: integer(1000, 86_400_000).default(900_000),
  RATE_LIMIT_MAX_REQUESTS: integer(1, 1_000_000).default(1000),
  SENTRY_DSN: z.url({ error: missingOr('must be a URL') }).optional(),

  ENABLE_2FA: flag.default(true),
  ENABLE_SSO: flag.default(false),
  ENABLE_ANALYTICS: flag.default(true),
});

const contract = variables.superRefine((value, context) => {
  const demand = (name: keyof typeof value, message: string) => {
    context.addIssue({ code: 'custom', path: [name], message });
  };
  if (value.JWT_SECRET === value.JWT_REFRESH_SECRET) {
    demand('JWT_REFRESH_SECRET', 'must differ from JWT_SECRET');
  }
  if (value.JWT_RING && value.JWT_RING.access.current.k !== value.JWT_SECRET) {
    demand('JWT_RING', 'has another current key for access tokens than JWT_SECRET');
  }
  if (value.JWT_RING && value.JWT_RING.refresh.current.k !== value.JWT_REFRESH_SECRET) {
    demand('JWT_RING', 'has another current key for refresh tokens than JWT_REFRESH_SECRET');
  }
  if (value.SMTP_HOST && !value.SMTP_FROM)
    demand('SMTP_FROM', 'is missing though SMTP_HOST is set');
  if (Boolean(value.SMTP_USER) !== Boolean(value.SMTP_PASS)) {
    demand(value.SMTP_USER ? 'SMTP_PASS' : 'SMTP_USER', 'is missing: both or none of the two');
  }
  if (Boolean(value.AWS_ACCESS_KEY_ID) !== Boolean(value.AWS_SECRET_ACCESS_KEY)) {
    const absent = value.AWS_ACCESS_KEY_ID ? 'AWS_SECRET_ACCESS_KEY' : 'AWS_ACCESS_KEY_ID';
    demand(absent, 'is missing: both or, better, none of the two');
  }
});

export type Environment = z.output<typeof variables>;

/** Every variable of the contract, for the test that compares it with .env.example. */
export const VARIABLE_NAMES = Object.keys(variables.shape) as (keyof Environment)[];

/** The environment breaks its contract. The message names variables and never their values. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';

  constructor(readonly problems: readonly string[]) {
    super(
      `the environment is not valid:\n${problems.map((problem) => `  - ${problem}`).join('\n')}\n` +
        'See .env.example for every variable and its meaning.',
    );
  }
}

/**
 * The typed environment that a set of variables describes; empty values count as not set.
 *
 * @throws EnvironmentError naming every variable that is missing or wrong
 */
export function parseEnvironment(
  source: Readonly<Record<string, string | undefined>>,
): Environment {
  const given: Record<string, string> = {};
  const problems: string[] = [];
  for (const name of VARIABLE_NAMES) {
    const value = source[name]?.trim();
    if (!value) continue;
    given[name] = value;
    if (PLACEHOLDER.test(value)) problems.push(`${name} still holds a placeholder`);
  }
  const parsed = contract.safeParse(given);
  if (parsed.success && problems.length === 0) return parsed.data;
  const placeholders = new Set(problems.map((problem) => problem.split(' ', 1)[0]));
  for (const issue of parsed.error?.issues ?? []) {
    const name = String(issue.path[0]);
    if (!placeholders.has(name)) problems.push(`${name} ${issue.message}`);
  }
  throw new EnvironmentError(problems);
}

let current: Environment | undefined;

/** This server's environment, read and checked once. */
export function environment(): Environment {
  current ??= parseEnvironment(process.env);
  return current;
}
