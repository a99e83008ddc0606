import { bearer } from '@/server/bearer';
import { environment } from '@/server/environment';
import { Refusal, answer, json } from '@/server/http';
import { exceedsRateLimit } from '@/server/rate-limit';
import { issueAccessToken } from '@/server/tokens';

export const dynamic = 'force-dynamic';

/** A new access token for whoever shows a refresh token, which stays valid as long as it was. */
export function POST(request: Request): Promise<Response> {
  return answer(async () => {
    if (await exceedsRateLimit(request)) throw new Refusal(429, 'too many requests; try later');
    return json(await issueAccessToken(await bearer(request, 'refresh'), environment()), 201);
  });
}
