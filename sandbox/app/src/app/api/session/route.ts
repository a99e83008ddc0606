import { environment } from '@/server/environment';
import { Refusal, answer, json, readBody } from '@/server/http';
import { exceedsRateLimit } from '@/server/rate-limit';
import { InvalidToken, issueTokens, newSession, verifyToken } from '@/server/tokens';

export const dynamic = 'force-dynamic';

function bearerToken(request: Request): string {
  const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]*)$/i.exec(
    request.headers.get('authorization') ?? '',
  )?.[1];
  if (token) return token;
  throw new Refusal(401, 'a bearer token is needed', [], { 'WWW-Authenticate': 'Bearer' });
}

export function POST(request: Request): Promise<Response> {
  return answer(async () => {
    if (await exceedsRateLimit(request)) throw new Refusal(429, 'too many requests; try later');
    const { name } = await readBody(request, newSession);
    return json(await issueTokens(name, environment()), 201);
  });
}

export function GET(request: Request): Promise<Response> {
  return answer(async () => {
    const token = bearerToken(request);
    try {
      return json({ name: await verifyToken(token, 'access', environment()) });
    } catch (error) {
      if (!(error instanceof InvalidToken)) throw error;
      throw new Refusal(401, error.message, [], {
        'WWW-Authenticate': 'Bearer error="invalid_token"',
      });
    }
  });
}
