/** Ends the run before its first test when a service it needs was not named. */
export default function demandServices(): void {
  const missing = ['MONGODB_URI', 'REDIS_URL'].filter((name) => !process.env[name]);
  if (missing.length === 0) return;
  throw new Error(
    `${missing.join(' and ')} not set: integration tests need a running MongoDB and Redis, ` +
      'for example those of docker compose',
  );
}
