// Next writes the same references into next-env.d.ts, which exists only after a first build:
// with these, `npm run type-check` works in a clean clone.
/// <reference types="next" />
/// <reference types="next/image-types/global" />
