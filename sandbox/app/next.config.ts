import type { NextConfig } from 'next';

const UNKNOWN_REVISION = 'unknown';

// The revision is baked in here and not read at run time: what answers /api/health is what was
// built, whatever the environment of the container claims.
function revision(): string {
  const value = process.env.REVISION?.trim() || UNKNOWN_REVISION;
  if (!/^[0-9A-Za-z_-]{1,64}$/.test(value)) {
    throw new Error('REVISION must be 1 to 64 letters, digits, "-" or "_", such as a commit id');
  }
  return value;
}

const built = revision();
const development = process.env.NODE_ENV === 'development';

// Next puts its bootstrap inline, so scripts need 'unsafe-inline' unless every page carries a
// nonce; the development server also evaluates strings for hot reload.
const contentSecurityPolicy = [
  "default-src 'self'",
  `script-src 'self' 'unsafe-inline'${development ? " 'unsafe-eval'" : ''}`,
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "object-src 'none'",
].join('; ');

const securityHeaders = [
  { key: 'Content-Security-Policy', value: contentSecurityPolicy },
  { key: 'Strict-Transport-Security', value: 'max-age=31536000; includeSubDomains' },
  { key: 'X-Content-Type-Options', value: 'nosniff' },
  { key: 'X-Frame-Options', value: 'DENY' },
  { key: 'Referrer-Policy', value: 'strict-origin-when-cross-origin' },
  { key: 'Permissions-Policy', value: 'camera=(), microphone=(), geolocation=()' },
];

// No override of split chunks: Next's own splitting per route and framework is what makes a
// release reload only what changed; one vendor chunk would send everything again each time.
const nextConfig: NextConfig = {
  output: 'standalone',
  // Without a root of its own Next takes the folder of the highest lockfile it finds.
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  compress: true,
  poweredByHeader: false,
  reactStrictMode: true,
  agentRules: false,
  typescript: { tsconfigPath: 'tsconfig.build.json' },
  images: {
    remotePatterns: [
      { protocol: 'https', hostname: 'kanvaro-storage.s3.us-east-1.amazonaws.com' },
      // In production the optimiser would fetch from its own machine for anybody.
      ...(development ? [{ protocol: 'http' as const, hostname: 'localhost' }] : []),
    ],
  },
  env: { BUILT_REVISION: built },
  // A build without a revision keeps Next's random build id: two of them are not the same thing.
  ...(built === UNKNOWN_REVISION
    ? {}
    : { deploymentId: built, generateBuildId: () => Promise.resolve(built) }),
  headers: () => Promise.resolve([{ source: '/:path*', headers: securityHeaders }]),
};

export default nextConfig;
