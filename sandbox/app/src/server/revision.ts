/** The revision this build was made from; `next.config.ts` replaces the expression by a literal. */
export const REVISION: string = process.env.BUILT_REVISION ?? 'unknown';
