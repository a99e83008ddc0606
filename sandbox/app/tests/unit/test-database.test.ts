import { expect, test } from 'vitest';
import { withDatabase } from '../../tools/test-database.mjs';

test.each([
  ['mongodb://h:1', 'mongodb://h:1/own'],
  ['mongodb://h:1/', 'mongodb://h:1/own'],
  ['mongodb://h:1/old?tls=true', 'mongodb://h:1/own?tls=true'],
  ['mongodb://a:1,b:2/old', 'mongodb://a:1,b:2/own'],
  ['mongodb://u:p@h:1/old', 'mongodb://u:p@h:1/own?authSource=old'], // pragma: allowlist secret
  ['mongodb://u:p@h:1', 'mongodb://u:p@h:1/own?authSource=admin'], // pragma: allowlist secret
  ['mongodb://u:p@h:1/old?authSource=x', 'mongodb://u:p@h:1/own?authSource=x'], // pragma: allowlist secret
  ['mongodb+srv://u:p@h/old', 'mongodb+srv://u:p@h/own?authSource=old'], // pragma: allowlist secret
])('%s keeps server and login and names another database', (uri, expected) => {
  expect(withDatabase(uri, 'own')).toBe(expected);
});

test('what is no connection string is refused without being quoted', () => {
  expect(() => withDatabase('redis://canary', 'own')).toThrow(/^(?!.*canary).*MONGODB_URI/);
});
