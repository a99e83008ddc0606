'use client';

import { useRouter } from 'next/navigation';
import { useActionState } from 'react';

interface Outcome {
  problem?: string;
}

interface ErrorAnswer {
  error: string;
  fields?: { field: string; message: string }[];
}

function sentence({ error, fields = [] }: ErrorAnswer): string {
  const details = fields.map(({ field, message }) => `${field} ${message}`).join('; ');
  return details || error;
}

async function send(form: FormData): Promise<Outcome> {
  try {
    const answer = await fetch('/api/projects', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: form.get('name'), description: form.get('description') }),
    });
    return answer.ok ? {} : { problem: sentence((await answer.json()) as ErrorAnswer) };
  } catch {
    return { problem: 'The server could not be reached; try again.' };
  }
}

export function AddProject() {
  const router = useRouter();
  const [outcome, submit, pending] = useActionState<Outcome, FormData>(async (_, form) => {
    const next = await send(form);
    if (!next.problem) router.refresh();
    return next;
  }, {});
  return (
    <form action={submit} aria-label="Add a project">
      <label>
        Name <input name="name" maxLength={80} autoComplete="off" />
      </label>
      <label>
        Description <input name="description" maxLength={500} autoComplete="off" />
      </label>
      <button disabled={pending}>Add project</button>
      <p role="status">{outcome.problem}</p>
    </form>
  );
}
