import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const alias = { '@': fileURLToPath(new URL('src', import.meta.url)) };

export default defineConfig({
  resolve: { alias },
  test: {
    reporters: ['default'],
    // Generous: other checks may share the processors.
    testTimeout: 20_000,
    hookTimeout: 20_000,
    coverage: {
      provider: 'v8',
      include: ['src/server/**', 'src/app/api/**'],
      reporter: ['text-summary', 'lcov'],
      thresholds: { lines: 90, functions: 90, statements: 90, branches: 80 },
    },
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['tests/unit/**/*.test.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['tests/integration/**/*.test.ts'],
          globalSetup: 'tests/integration/demand-services.ts',
          setupFiles: 'tests/integration/own-database.ts',
        },
      },
    ],
  },
});
