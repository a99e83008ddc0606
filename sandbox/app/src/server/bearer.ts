import { environment } from '@/server/environment';
import { Refusal } from '@/server/http';
import { InvalidToken, type TokenUse, verifyToken } from '@/server/tokens';

function bearerToken(request: Request): string {
  const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]*)$/i.exec(
    request.headers.get('authorization') ?? '',
  )?.[1];
  if (token) return token;
  throw new Refusal(401, 'a bearer token is needed', [], { 'WWW-Authenticate': 'Bearer' });
}

/**
 * Returns the name that the bearer token of a request was issued for. A refresh token is accepted
 * by one address only: the one that answers with new access tokens.
 *
 * @throws Refusal 401
 */
export async function bearer(request: Request, use: TokenUse = 'access'): Promise<string> {
  const token = bearerToken(request);
  try {
    return await verifyToken(token, use, environment());
  } catch (error) {
    if (!(error instanceof InvalidToken)) throw error;
    throw new Refusal(401, error.message, [], {
      'WWW-Authenticate': 'Bearer error="invalid_token"',
    });
  }
}
