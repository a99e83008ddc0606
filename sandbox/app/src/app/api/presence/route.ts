import { bearer } from '@/server/bearer';
import { answer, json } from '@/server/http';
import { notePresence } from '@/server/presence';

export const dynamic = 'force-dynamic';

/** Says that the bearer is there; tells how often that was said and how many are there now. */
export function POST(request: Request): Promise<Response> {
  return answer(async () => json(await notePresence(await bearer(request))));
}
