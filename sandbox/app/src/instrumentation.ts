/** Runs once in each new server, before it answers its first request. */
export async function register(): Promise<void> {
  if (process.env.NEXT_RUNTIME !== 'nodejs') return;
  // `next build` loads this file too and must not need anything of the contract.
  if (process.env.NEXT_PHASE === 'phase-production-build') return;
  const { refuseInvalidEnvironment } = await import('@/server/start');
  refuseInvalidEnvironment();
}
