// Reads the documentation: doc comments of the public sources, and code blocks of the README.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const pkg = fileURLToPath(new URL("../", import.meta.url));

/** A public class, function, type, or one of its members. */
export interface Documented {
  /** `file:Owner.member`, or `file:name`. */
  name: string;
  /** The interface, where this is a member of one. */
  options: string | undefined;
  /** Whether it must have an example: functions, methods and options. */
  needsExample: boolean;
  /** Whether it must have a default: optional members of options. */
  needsDefault: boolean;
  /** The doc comment without its asterisks; empty where there is none. */
  doc: string;
  examples: string[];
}

const SOURCES = ["network.ts", "trainer.ts", "learner.ts", "machine.ts", "download.ts", "shared/errors.ts"];

/** Interfaces that callers fill in. The others are results, whose members need no example. */
const INPUTS = /(Options|Schedule|LayerGroup|TrainingData)$/;
const PUBLIC = /^(ConvokeError|Network|Trainer|BaseTrainer|Learner|BaseLearner|capabilities|liveBytes|download)$/;
const OPENING = /^export (?:async )?(class|interface|type|function) (\w+)/;
const MEMBER =
  /^ {2}(?!#|private|protected|constructor|set |\/|\*|\}|\))(?:static |readonly |override |async |get |\*)*(\w+|\[Symbol\.dispose\])(\?)?[(:;<]/;

/** Returns everything that a user of the package sees, in the order of the sources. */
export function documented(): Documented[] {
  const types = readdirSync(`${pkg}src/shared/types`).map((file) => `shared/types/${file}`);
  return [...SOURCES, ...types].flatMap(read);
}

function read(file: string): Documented[] {
  const found: Documented[] = [];
  let [kind, owner, doc] = ["", "", ""];
  let comment: string[] | undefined;
  for (const line of readFileSync(`${pkg}src/${file}`, "utf8").split("\n")) {
    if (/^ *\/\*\*/.test(line)) comment = [];
    if (comment) {
      comment.push(line.replace(/^ *(\/\*\*|\*\/|\*) ?/, "").replace(/ *\*\/$/, ""));
      if (line.endsWith("*/")) [doc, comment] = [comment.join("\n").trim(), undefined];
      continue;
    }
    const opening = OPENING.exec(line);
    const member = MEMBER.exec(line);
    if (opening) [, kind, owner] = opening as unknown as [string, string, string];
    const isPublic = file.startsWith("shared/types/") || PUBLIC.test(owner);
    if (isPublic && opening) {
      found.push(entry(file, owner, undefined, doc, kind === "function", false));
    } else if (isPublic && member && /class|interface/.test(kind) && !doc.includes("@internal")) {
      const isInput = kind === "interface" && INPUTS.test(owner);
      const options = kind === "interface" ? owner : undefined;
      const name = `${owner}.${member[1]}`;
      found.push(entry(file, name, options, doc, isInput || kind === "class", isInput && member[2] === "?"));
    }
    if (line.startsWith("}")) kind = "";
    doc = "";
  }
  return found;
}

function entry(
  file: string,
  name: string,
  options: string | undefined,
  doc: string,
  needsExample: boolean,
  needsDefault: boolean,
): Documented {
  const examples = [...doc.matchAll(/@example\s+([\s\S]*?)(?=\n@|$)/g)].map(([, code]) => code!.trim());
  return { name: `${file}:${name}`, options, needsExample, needsDefault, doc, examples };
}

/** Returns the JavaScript blocks of the README. */
export function readmeBlocks(): string[] {
  const readme = readFileSync(`${pkg}README.md`, "utf8");
  return [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code!);
}
