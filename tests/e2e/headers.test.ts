// The headers of the demo server, on answers of every kind.
import { expect, inject, test } from "vitest";

const sent = ["Cross-Origin-Embedder-Policy", "Cross-Origin-Opener-Policy", "Content-Security-Policy"];

test("every answer has the headers of an isolated page, and hashed files are kept for good", async () => {
  const base = inject("page");
  const html = await (await fetch(base)).text();
  const script = /assets\/[\w.-]+\.js/.exec(html)![0];
  const { headers } = await fetch(`${base}${script}`);
  const tag = { "If-None-Match": headers.get("ETag")! };
  const answers = [
    await fetch(base),
    await fetch(`${base}${script}`),
    await fetch(`${base}${script}`, { headers: tag }),
    await fetch(`${base}nothing-here`),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 304, 404]);
  for (const answer of answers) for (const name of sent) expect(answer.headers.get(name), name).toBeTruthy();
  const caching = answers.map(({ headers }) => headers.get("Cache-Control"));
  expect(caching[0]).toBe("no-cache");
  expect(caching[1]).toContain("immutable");
  expect(caching[3]).toBe("no-cache");
});
