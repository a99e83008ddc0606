import { type FailureReason, TimedOut, failureReason } from '@/server/failure';

/** Something the application needs and can ask whether it answers. */
export interface Dependency {
  /** Resolves when the dependency answered. May hang: the caller limits it. */
  ping(): Promise<unknown>;
  /** What the driver last complained about, for the reason of a ping that got no answer. */
  lastFailure?(): unknown;
}

export interface Check {
  ok: boolean;
  milliseconds: number;
  reason?: FailureReason;
}

export interface Health<Name extends string = string> {
  status: 'ready' | 'not ready';
  revision: string;
  checks: Record<Name, Check>;
}

const DEFAULT_TIMEOUT_MILLISECONDS = 2000;

async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TimedOut());
    }, milliseconds);
  });
  try {
    return await Promise.race([work, expiry]);
  } finally {
    clearTimeout(timer);
  }
}

async function check(dependency: Dependency, timeout: number): Promise<Check> {
  const started = performance.now();
  const milliseconds = () => Math.round(performance.now() - started);
  try {
    // The async wrapper turns a ping that throws at once into a rejection like any other.
    await within(timeout, (async () => dependency.ping())());
    return { ok: true, milliseconds: milliseconds() };
  } catch (error) {
    const silent = error instanceof TimedOut ? dependency.lastFailure?.() : undefined;
    return { ok: false, milliseconds: milliseconds(), reason: failureReason(silent, error) };
  }
}

/** Asks all dependencies at once, each within its own time-out; never throws. */
export async function readiness<Name extends string>(
  dependencies: Record<Name, Dependency>,
  revision: string,
  timeout: number = DEFAULT_TIMEOUT_MILLISECONDS,
): Promise<Health<Name>> {
  const names = Object.keys(dependencies) as Name[];
  const answers = await Promise.all(
    names.map(async (name) => [name, await check(dependencies[name], timeout)] as const),
  );
  const checks = Object.fromEntries(answers) as Record<Name, Check>;
  const ready = answers.every(([, answer]) => answer.ok);
  return { status: ready ? 'ready' : 'not ready', revision, checks };
}
