'use client';

/** Shown when the page cannot be made, for instance while MongoDB is away. */
export default function ErrorPage({ reset }: { error: Error; reset: () => void }) {
  return (
    <main>
      <h1>Kanvaro</h1>
      <p role="alert">The projects cannot be shown at the moment.</p>
      <button onClick={reset}>Try again</button>
    </main>
  );
}
