import type { z } from 'zod';
import { logFailure } from '@/server/log';

const MAXIMUM_BODY_BYTES = 16_384;
const NOT_CACHED = { 'Cache-Control': 'no-store' };

export interface FieldProblem {
  field: string;
  message: string;
}

/** A refusal whose message the client gets unchanged. */
export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    readonly status: number,
    message: string,
    readonly fields: readonly FieldProblem[] = [],
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

/** A JSON answer that nobody may cache. */
export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers: { ...NOT_CACHED, ...headers } });
}

/** Runs a route; a Refusal becomes its answer, anything else a 503 without details. */
export async function answer(route: () => Promise<Response>): Promise<Response> {
  try {
    return await route();
  } catch (error) {
    if (error instanceof Refusal) {
      const fields = error.fields.length > 0 ? { fields: error.fields } : {};
      return json({ error: error.message, ...fields }, error.status, error.headers);
    }
    logFailure('request failed', error);
    return json({ error: 'the service is not available; try again later' }, 503, {
      'Retry-After': '5',
    });
  }
}

async function readText(request: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = request.body?.getReader();
  for (;;) {
    const part = await reader?.read();
    if (!part?.value) break;
    size += part.value.byteLength;
    if (size > MAXIMUM_BODY_BYTES) {
      await reader?.cancel();
      throw new Refusal(413, `the body is larger than ${MAXIMUM_BODY_BYTES} bytes`);
    }
    chunks.push(part.value);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new Refusal(400, 'the body is not valid JSON');
  }
}

/**
 * The body of a request, validated.
 *
 * @throws Refusal 415, 413 or 400, the last with every field that is wrong
 */
export async function readBody<Body>(request: Request, shape: z.ZodType<Body>): Promise<Body> {
  // JSON also keeps out forms of other sites, which browsers send without a preflight request.
  const mediaType = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') {
    throw new Refusal(415, 'the body must be sent as application/json');
  }
  const parsed = shape.safeParse(parseJson(await readText(request)));
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map(({ path, message }) => ({
    field: path.join('.') || 'body',
    message,
  }));
  throw new Refusal(400, 'the body is not valid', fields);
}
