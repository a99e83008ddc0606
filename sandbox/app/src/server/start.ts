import { EnvironmentError, environment } from '@/server/environment';

/** Ends the process with a message when the environment breaks its contract. */
export function refuseInvalidEnvironment(): void {
  try {
    environment();
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    process.stderr.write(`kanvaro refuses to start: ${error.message}\n`);
    process.exit(1);
  }
}
