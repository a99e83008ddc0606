// Writes .env from .env.example with freshly generated secrets, for local development.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const example = fileURLToPath(new URL('../.env.example', import.meta.url));
const target = fileURLToPath(new URL('../.env', import.meta.url));
const generated = ['JWT_SECRET', 'JWT_REFRESH_SECRET', 'MONGODB_PASSWORD', 'REDIS_PASSWORD'];

/** @type {Record<string, string>} */
const values = Object.fromEntries(generated.map((name) => [name, randomBytes(32).toString('hex')]));
values.MONGODB_URI = `mongodb://kanvaro:${values.MONGODB_PASSWORD}@127.0.0.1:27017/kanvaro?authSource=admin`;
values.REDIS_URL = `redis://:${values.REDIS_PASSWORD}@127.0.0.1:6379`;
values.NODE_ENV = 'development';

const text = readFileSync(example, 'utf8').replace(/^([A-Z][A-Z0-9_]*)=.*$/gm, (line, name) =>
  name in values ? `${name}=${values[name]}` : line,
);
try {
  writeFileSync(target, text, { flag: 'wx', mode: 0o600 });
  console.log('.env written with new secrets, readable by you only');
} catch (error) {
  if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
  console.error('env:create: .env is there already and was not touched');
  process.exitCode = 1;
}
