import { readiness } from '@/server/health';
import { json } from '@/server/http';
import { mongodbDependency } from '@/server/mongodb';
import { redisDependency } from '@/server/redis';
import { REVISION } from '@/server/revision';
import { secretVersions } from '@/server/secret-versions';

export const dynamic = 'force-dynamic';

/**
 * Readiness: whether this instance can serve and which version of each secret it runs with. The
 * pipeline asks before it sends traffic, a rotation before it retires an old secret.
 */
export async function GET(): Promise<Response> {
  const dependencies = { mongodb: mongodbDependency, redis: redisDependency };
  const health = await readiness(dependencies, REVISION);
  return json({ ...health, secrets: secretVersions() }, health.status === 'ready' ? 200 : 503);
}
