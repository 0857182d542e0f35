// The images of a training run: shipped with the page, or the user's own, which are read when they are chosen.
import { collect } from "./collect.js";
import { type Collection, isFetched, type Kind } from "./collection.js";
import { byId } from "./dom.js";
import { clearErrors, showError } from "./errors.js";
import { bytes, count } from "./text.js";
import { beginWait } from "./waits.js";

export interface Images {
  /** Returns the images of this kind, read again only when others were chosen. */
  gather(kind: Kind, control: AbortController): Promise<Collection>;
  /** Takes the images of a run from an earlier visit. */
  bring(kind: Kind, collection: Collection): void;
  /** Returns whether images of this kind are at hand or can be fetched. */
  has(kind: Kind): boolean;
}

/** The labels of the progress bars. */
const WAITS: Record<Kind, string> = { digits: "Digits", clothes: "Clothes", idx: "Images", folder: "Images" };

export function createImages(errors: HTMLElement, waits: HTMLElement): Images {
  const data = byId("train-data", HTMLSelectElement);
  const pickers = { idx: byId("train-idx", HTMLInputElement), folder: byId("train-folder", HTMLInputElement) };
  let files: File[] = [];
  let own: { kind: Kind; collection: Collection } | undefined;

  async function gather(kind: Kind, control: AbortController): Promise<Collection> {
    const wait = beginWait(waits, WAITS[kind], () => control.abort());
    try {
      const counted = (done: number, all: number | undefined) =>
        wait.doing(`Reading picture ${count(done)} of ${count(all ?? done)}`, all && done / all);
      const told = kind === "folder" ? counted : wait.downloaded;
      return own?.kind === kind ? own.collection : await collect(kind, files, told, control.signal);
    } finally {
      wait.end();
    }
  }

  /** Reads the chosen files before anything starts, and says what they are and what they take. */
  async function read(kind: Kind): Promise<void> {
    clearErrors(errors);
    own = undefined;
    try {
      const collection = await gather(kind, new AbortController());
      own = { kind, collection };
      data.value = kind;
      byId("train-note").textContent = describe(collection);
    } catch (error) {
      data.value = "digits";
      showError(errors, "Could not read the images", error);
    }
  }

  data.addEventListener("change", () => {
    if (data.value === "idx" || data.value === "folder") pickers[data.value].click();
  });
  for (const [kind, picker] of Object.entries(pickers)) {
    picker.addEventListener("cancel", () => {
      if (own?.kind !== kind) data.value = "digits";
    });
    picker.addEventListener("change", () => {
      files = [...(picker.files ?? [])];
      picker.value = ""; // lets the user choose these files again
      void read(kind as Kind);
    });
  }

  return {
    gather,
    bring(kind, collection) {
      own = { kind, collection };
    },
    has: (kind) => isFetched(kind) || own?.kind === kind,
  };
}

function describe({ name, labels, train, heldOut, skipped }: Collection): string {
  const [n, m] = [train.shape[0], heldOut.shape[0]];
  const took = bytes(train.images.length + heldOut.images.length);
  const some = `${skipped.slice(0, 5).join(", ")}${skipped.length > 5 ? ", …" : ""}`;
  const left = skipped.length ? ` ${count(skipped.length)} files could not be read: ${some}.` : "";
  return `${name}: ${count(n)} images of ${labels.length} classes to learn from and ${count(m)} to judge by, ${took} in memory.${left}`;
}
