import { bearer } from '@/server/bearer';
import { environment } from '@/server/environment';
import { Refusal, answer, json, readBody } from '@/server/http';
import { exceedsRateLimit } from '@/server/rate-limit';
import { issueTokens, newSession } from '@/server/tokens';

export const dynamic = 'force-dynamic';

export function POST(request: Request): Promise<Response> {
  return answer(async () => {
    if (await exceedsRateLimit(request)) throw new Refusal(429, 'too many requests; try later');
    const { name } = await readBody(request, newSession);
    return json(await issueTokens(name, environment()), 201);
  });
}

export function GET(request: Request): Promise<Response> {
  return answer(async () => {
    return json({ name: await bearer(request) });
  });
}
