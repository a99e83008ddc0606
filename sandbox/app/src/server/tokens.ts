import { SignJWT, errors, jwtVerify } from 'jose';
import { z } from 'zod';
import type { Environment } from '@/server/environment';

const ALGORITHM = 'HS256';
const ISSUER = 'kanvaro';
const CLOCK_TOLERANCE_SECONDS = 5;

export type TokenUse = 'access' | 'refresh';

/** What a client may send to open a session. */
export const newSession = z.strictObject({
  name: z
    .string('must be text')
    .trim()
    .regex(/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u, {
      error: 'must be 1 to 64 letters, digits, spaces, ".", "_" or "-"',
    }),
});

export type Keys = Pick<
  Environment,
  'JWT_SECRET' | 'JWT_REFRESH_SECRET' | 'JWT_EXPIRES_IN' | 'JWT_REFRESH_EXPIRES_IN'
>;

export interface TokenPair {
  accessToken: string;
  refreshToken: string;
  tokenType: 'Bearer';
  /** Seconds until the access token expires. */
  expiresIn: number;
}

/** The token is not one of ours or no longer valid; `expired` tells the two apart. */
export class InvalidToken extends Error {
  override readonly name = 'InvalidToken';

  constructor(readonly expired: boolean) {
    super(expired ? 'the token has expired' : 'the token is not valid');
  }
}

function key(use: TokenUse, keys: Keys): Uint8Array {
  return new TextEncoder().encode(use === 'access' ? keys.JWT_SECRET : keys.JWT_REFRESH_SECRET);
}

function sign(name: string, use: TokenUse, lifetime: number, keys: Keys): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({})
    .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT' })
    .setIssuer(ISSUER)
    .setAudience(use)
    .setSubject(name)
    .setIssuedAt(now)
    .setExpirationTime(now + lifetime)
    .sign(key(use, keys));
}

/** A new access and refresh token (HS256, RFC 7519) for a name. */
export async function issueTokens(name: string, keys: Keys): Promise<TokenPair> {
  const [accessToken, refreshToken] = await Promise.all([
    sign(name, 'access', keys.JWT_EXPIRES_IN, keys),
    sign(name, 'refresh', keys.JWT_REFRESH_EXPIRES_IN, keys),
  ]);
  return { accessToken, refreshToken, tokenType: 'Bearer', expiresIn: keys.JWT_EXPIRES_IN };
}

/**
 * The name a token was issued for. Only our algorithm, issuer and this use are accepted.
 *
 * @throws InvalidToken
 */
export async function verifyToken(token: string, use: TokenUse, keys: Keys): Promise<string> {
  try {
    const { payload } = await jwtVerify(token, key(use, keys), {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: use,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      requiredClaims: ['sub', 'iat', 'exp'],
    });
    return payload.sub ?? '';
  } catch (error) {
    throw new InvalidToken(error instanceof errors.JWTExpired);
  }
}
