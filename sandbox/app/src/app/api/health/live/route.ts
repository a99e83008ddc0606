import { json } from '@/server/http';
import { REVISION } from '@/server/revision';

export const dynamic = 'force-dynamic';

/** Liveness: the process answers. Asks no dependency, so that their outage restarts nothing. */
export function GET(): Response {
  return json({ status: 'alive', revision: REVISION });
}
