import { bearer } from '@/server/bearer';
import { environment } from '@/server/environment';
import { Refusal, answer, json } from '@/server/http';
import { exceedsRateLimit } from '@/server/rate-limit';
import { issueAccessToken } from '@/server/tokens';

export const dynamic = 'force-dynamic';

/** Returns a new access token for a refresh token, whose own expiry does not change. */
export function POST(request: Request): Promise<Response> {
  return answer(async () => {
    if (await exceedsRateLimit(request)) throw new Refusal(429, 'too many requests; try later');
    return json(await issueAccessToken(await bearer(request, 'refresh'), environment()), 201);
  });
}
