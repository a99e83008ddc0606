import { type JWTHeaderParameters, SignJWT, errors, jwtVerify } from 'jose';
import { z } from 'zod';
import type { Environment } from '@/server/environment';
import { type KeyRing, LEGACY, verifyingKey } from '@/server/key-ring';

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
  'JWT_SECRET' | 'JWT_REFRESH_SECRET' | 'JWT_RING' | 'JWT_EXPIRES_IN' | 'JWT_REFRESH_EXPIRES_IN'
>;

export interface AccessToken {
  accessToken: string;
  tokenType: 'Bearer';
  /** Seconds until the access token expires. */
  expiresIn: number;
}

export interface TokenPair extends AccessToken {
  refreshToken: string;
}

/** The token is not one of ours or no longer valid; `expired` tells the two apart. */
export class InvalidToken extends Error {
  override readonly name = 'InvalidToken';

  constructor(readonly expired: boolean) {
    super(expired ? 'the token has expired' : 'the token is not valid');
  }
}

/** The ring of a use. Without JWT_RING its one secret is a ring of itself. */
function ringOf(use: TokenUse, keys: Keys): KeyRing {
  const secret = use === 'access' ? keys.JWT_SECRET : keys.JWT_REFRESH_SECRET;
  return keys.JWT_RING?.[use] ?? { current: { kid: LEGACY, k: secret } };
}

const bytes = (k: string) => new TextEncoder().encode(k);
const secondsSince1970 = () => Math.floor(Date.now() / 1000);

function sign(name: string, use: TokenUse, lifetime: number, keys: Keys): Promise<string> {
  const now = secondsSince1970();
  const { kid, k } = ringOf(use, keys).current;
  return new SignJWT({})
    .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT', kid })
    .setIssuer(ISSUER)
    .setAudience(use)
    .setSubject(name)
    .setIssuedAt(now)
    .setExpirationTime(now + lifetime)
    .sign(bytes(k));
}

/** A new access token (HS256, RFC 7519) for a name. */
export async function issueAccessToken(name: string, keys: Keys): Promise<AccessToken> {
  const accessToken = await sign(name, 'access', keys.JWT_EXPIRES_IN, keys);
  return { accessToken, tokenType: 'Bearer', expiresIn: keys.JWT_EXPIRES_IN };
}

/** A new access and refresh token for a name. */
export async function issueTokens(name: string, keys: Keys): Promise<TokenPair> {
  const [access, refreshToken] = await Promise.all([
    issueAccessToken(name, keys),
    sign(name, 'refresh', keys.JWT_REFRESH_EXPIRES_IN, keys),
  ]);
  return { ...access, refreshToken };
}

/**
 * The name a token was issued for. Only our algorithm, issuer and this use are accepted, and of
 * the ring only the key that the token names, which must not have expired.
 *
 * @throws InvalidToken
 */
export async function verifyToken(token: string, use: TokenUse, keys: Keys): Promise<string> {
  const namedKey = ({ kid = LEGACY }: JWTHeaderParameters) => {
    const k = verifyingKey(ringOf(use, keys), kid, secondsSince1970());
    if (k === undefined) throw new InvalidToken(false);
    return bytes(k);
  };
  try {
    const { payload } = await jwtVerify(token, namedKey, {
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
