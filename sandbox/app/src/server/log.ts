import { environment } from '@/server/environment';
import { failureReason } from '@/server/failure';

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
type Level = (typeof LEVELS)[number];

/** Writes one JSON line to stderr when the level is at or above LOG_LEVEL. */
export function log(level: Level, message: string, fields: Record<string, unknown> = {}): void {
  if (LEVELS.indexOf(level) < LEVELS.indexOf(environment().LOG_LEVEL)) return;
  const line = { time: new Date().toISOString(), level, message, ...fields };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

/** Logs a failed call to a dependency by its reason: driver messages can hold hosts and users. */
export function logFailure(message: string, error: unknown): void {
  const kind = error instanceof Error ? error.name : typeof error;
  log('error', message, { reason: failureReason(error), kind });
}
