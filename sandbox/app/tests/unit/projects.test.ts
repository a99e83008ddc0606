import { expect, test } from 'vitest';
import { newProject } from '@/server/projects';

function messages(body: unknown): string[] {
  const parsed = newProject.safeParse(body);
  return (
    parsed.error?.issues.map(({ path, message }) => `${path.join('.')} ${message}`.trim()) ?? []
  );
}

test('a name is trimmed and normalised, a description may be left out', () => {
  expect(newProject.parse({ name: '  Cafe\u0301 ' })).toEqual({ name: 'Café', description: '' });
});

test('text of any script and markup is kept as it is: it is escaped where it is shown', () => {
  const project = { name: '橋 <b>&</b> 🌉', description: '<script>alert(1)</script>' };
  expect(newProject.parse(project)).toEqual(project);
});

test.each<[unknown, string]>([
  [{ name: 'x'.repeat(81) }, 'name must have at most 80 characters'],
  [{ name: '   ' }, 'name must not be empty'],
  [{ name: 'a\nb' }, 'name must not contain control characters or line breaks'],
  [{ name: 'a\u0000b' }, 'name must not contain control characters or line breaks'],
  [{ name: 'a\u2028b' }, 'name must not contain control characters or line breaks'],
  [{ name: 'a', description: 'x'.repeat(501) }, 'description must have at most 500 characters'],
  [{ name: { $ne: null } }, 'name must be text'],
  [{}, 'name must be text'],
  [null, 'must be an object'],
  [[], 'must be an object'],
  ['name', 'must be an object'],
  [{ name: 'a', owner: 'b' }, 'Unrecognized key: "owner"'],
])('%j is refused', (body, message) => {
  expect(messages(body)).toContain(message);
});
