import { bearer } from '@/server/bearer';
import { answer, json } from '@/server/http';
import { notePresence } from '@/server/presence';

export const dynamic = 'force-dynamic';

/** Records the bearer as present; returns how often that happened and how many are present. */
export function POST(request: Request): Promise<Response> {
  return answer(async () => json(await notePresence(await bearer(request))));
}
