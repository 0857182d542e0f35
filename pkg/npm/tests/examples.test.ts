// Every public method and option is documented with an example, and every example compiles.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Network, type TrainerOptions } from "../src/node.js";
import { documented, pkg } from "./documentation.js";
import { failure } from "./support.js";

const all = documented();
const examples = all.flatMap(({ name, options, examples }) => examples.map((code) => ({ name, options, code })));

/** Names that examples may use without declaring them. */
const given = `import type { ImageSource, Learner, Network, Trainer, TrainingData } from "convoke";
export declare const net: Network;
export declare const trainer: Trainer;
export declare const learner: Learner;
export declare const image: ImageSource;
export declare const data: TrainingData;
export declare const heldOut: TrainingData;
export declare const button: HTMLButtonElement;
export declare const error: import("convoke").ConvokeError;
`;
const imports = `import { capabilities, ConvokeError, download, Learner, liveBytes, Network, Trainer } from "convoke";
import { button, data, error, heldOut, image, learner, net, trainer } from "./given.js";
void [capabilities, ConvokeError, download, Learner, liveBytes, Network, Trainer];
void [button, data, error, heldOut, image, learner, net, trainer];
`;

/** An option's example is a value of its interface, any other example is statements. */
function source(options: string | undefined, code: string): string {
  if (options) return `${imports}export const example: import("convoke").${options} = ${code};\n`;
  return `${imports}export async function example(): Promise<void> {\n${code}\n}\n`;
}

/** Returns the compiler's messages for these examples. */
function compile(sources: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), "convoke-examples-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries({ "given.ts": given, ...sources })) writeFileSync(join(folder, name), text);
  const paths = { convoke: [join(pkg, "src/index.ts")] };
  const compilerOptions = { paths, typeRoots: [join(pkg, "node_modules/@types")], noUnusedLocals: false };
  const config = { extends: join(pkg, "tsconfig.json"), compilerOptions, include: ["*.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  try {
    return execFileSync(join(pkg, "node_modules/.bin/tsc"), ["-p", folder], { cwd: folder, encoding: "utf8" });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

test("everything public has a doc comment, and an example and a default where it takes one", () => {
  const lacking = all.flatMap(({ name, doc, examples, needsExample, needsDefault }) => [
    ...(doc ? [] : [`${name}: doc comment`]),
    ...(needsExample && examples.length === 0 ? [`${name}: @example`] : []),
    ...(needsDefault && !doc.includes("@defaultValue") ? [`${name}: @defaultValue`] : []),
  ]);
  expect(lacking).toEqual([]);
  expect(all.length).toBeGreaterThan(180);
  expect(examples.length).toBeGreaterThan(110);
});

test("every example compiles", () => {
  const named = examples.map(({ name, options, code }, i) => [
    `${i}-${name.replace(/\W+/g, "-")}.ts`,
    source(options, code),
  ]);
  expect(compile(Object.fromEntries(named))).toBe("");
});

test("an example that does not compile is found", () => {
  const said = compile({
    "option.ts": source("CosineSchedule", '{ kind: "cosine", warmup: 2 }'),
    "method.ts": source(undefined, "await net.classify(image, { to: 1 });"),
  });
  expect(said).toContain("option.ts");
  expect(said).toContain("'warmup' does not exist");
  expect(said).toContain("method.ts");
});

/** Where the options of a part of `TrainerOptions` belong. */
const parts: Record<string, (part: object) => object> = {
  TrainerOptions: (options) => options,
  CommonOptimizerOptions: (part) => ({ optimizer: { kind: "adam", ...part } }),
  SgdOptions: (optimizer) => ({ optimizer }),
  AdamOptions: (optimizer) => ({ optimizer }),
  RmsPropOptions: (optimizer) => ({ optimizer }),
  SoftmaxCrossEntropyOptions: (loss) => ({ loss }),
  BinaryCrossEntropyOptions: (loss) => ({ loss }),
  ConstantSchedule: (schedule) => ({ schedule }),
  CosineSchedule: (schedule) => ({ schedule }),
  StepSchedule: (schedule) => ({ schedule }),
  OneCycleSchedule: (schedule) => ({ schedule }),
  AugmentOptions: (augment) => ({ augment }),
  LayerGroup: (group) => ({ groups: [group] }),
};

test("the engine takes the examples of all options of training", async () => {
  using net = await Network.create("lenet5");
  const options = examples
    .filter(({ options }) => options && options in parts)
    .map(({ options, code }) => parts[options!]!(new Function(`return ${code}`)()) as TrainerOptions);
  expect(options.length).toBeGreaterThan(45);
  for (const o of options) {
    if (o.backend === "webgpu") expect((await failure(net.trainer(o))).code).toBe("backend");
    else (await net.trainer(o)).dispose();
  }
});
