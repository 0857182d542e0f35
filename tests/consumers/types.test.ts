// The packed package's types in strict TypeScript projects. The declarations themselves are checked too.
import { execFileSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pack, project, remove, root } from "./projects.js";

const tsc = join(root, "tests/node_modules/.bin/tsc");
const source = join(root, "tests/consumers/typed/main.ts");
const strictest = {
  target: "ES2022",
  lib: ["ES2022", "DOM", "DOM.Iterable", "DOM.AsyncIterable", "ESNext.Disposable"],
  types: [],
  strict: true,
  noEmit: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
};

let base: string;
beforeAll(() => {
  base = pack();
});
afterAll(() => remove(base));

/** Returns the compiler's messages for the project; empty when it compiles. */
function compile(name: string, options: object): string {
  const folder = project(base, name, "");
  cpSync(source, join(folder, "main.ts"));
  const config = { compilerOptions: { ...strictest, ...options }, files: ["main.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  try {
    return execFileSync(tsc, ["-p", folder], { encoding: "utf8" });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

for (const options of [
  { module: "ESNext", moduleResolution: "bundler" },
  { module: "NodeNext", moduleResolution: "nodenext" },
]) {
  test(`compiles with moduleResolution ${options.moduleResolution}`, () => {
    expect(compile(options.moduleResolution, options)).toBe("");
  });
}

test("the project uses all that is exported", () => {
  const declared = (file: string) => readFileSync(join(root, "pkg/npm/dist", file), "utf8");
  const files = readdirSync(join(root, "pkg/npm/dist/shared/types"));
  const all = files.map((file) => declared(`shared/types/${file}`)).join("");
  const types = [...all.matchAll(/^export (?:interface|type) (\w+)/gm)].map(([, name]) => name);
  const named = [...declared("index.d.ts").matchAll(/^export \{(.*)\}/gm)].flatMap(([, names]) =>
    names!.split(",").map((name) => name.replace("type ", "").trim()),
  );
  const imported = /import \{([\s\S]*?)\} from "convoke"/.exec(readFileSync(source, "utf8"))?.[1] ?? "";
  const used = imported.split(",").flatMap((name) => name.replace("type ", "").trim() || []);
  expect(types.length).toBeGreaterThan(20);
  expect(used.sort()).toEqual([...types, ...named].sort());
});
