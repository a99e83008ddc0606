// Starts the built application; a file .env, if there is one, fills in what is not set.
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { folder, standalone } from './build.mjs';

const server = join(standalone, 'server.js');
const envFile = join(folder, '.env');

if (!existsSync(server)) {
  console.error('start: there is no build; run first: npm run build');
  process.exit(1);
}
if (existsSync(envFile)) process.loadEnvFile(envFile);
// Containers set HOSTNAME to their own name, and Next would listen on that address only.
if (!process.env.HOSTNAME || process.env.HOSTNAME === hostname()) process.env.HOSTNAME = '0.0.0.0';
await import(pathToFileURL(server).href);
