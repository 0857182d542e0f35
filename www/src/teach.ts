// 'Teach it your own classes': the network in use gets a head for the user's classes, learnt from a few pictures of each.
import type { Learner, Network } from "convoke";
import { createBars } from "./bars.js";
import { createCamera, SIDE } from "./camera.js";
import type { CurrentNetwork } from "./current.js";
import { byId, make } from "./dom.js";
import { clearErrors, isAbort, showError } from "./errors.js";
import { controls } from "./teaching-session.js";
import { count, percent } from "./text.js";
import { beginWait } from "./waits.js";

/** The fraction of each class that is held out to measure accuracy. */
const HELD_OUT = 0.2;

type Picture = Blob | HTMLCanvasElement;

export function setUpTeaching(current: CurrentNetwork): void {
  const errors = byId("teach-errors");
  const waits = byId("teach-waits");
  const chip = byId("teach-state");
  const list = byId("teach-list");
  const answer = byId("teach-answer");
  const form = byId("teach-form", HTMLFormElement);
  const names = byId("teach-classes", HTMLInputElement);
  const from = byId("teach-from", HTMLSelectElement);
  const epochs = byId("teach-epochs", HTMLInputElement);
  const begin = byId("teach-begin", HTMLButtonElement);
  const learnButton = byId("teach-learn", HTMLButtonElement);
  const test = byId("teach-picture", HTMLInputElement);
  const use = byId("teach-use", HTMLButtonElement);
  const bars = createBars(answer);

  let learner: Learner | undefined;
  let taught: Network | undefined;
  let busy = false;

  const camera = createCamera(errors, async (frame) => {
    if (taught && !busy) await classify(frame);
  });
  camera.onChange(arrange);

  /** Enables the controls that the session allows. */
  function arrange(): void {
    const counts = learner?.counts;
    const allowed = controls({
      busy,
      hasNetwork: current.get() !== undefined,
      counts,
      isTaught: taught !== undefined,
      isCameraOpen: camera.isOpen(),
    });
    begin.disabled = !allowed.canSetUp;
    learnButton.disabled = !allowed.canLearn;
    test.disabled = use.disabled = !allowed.canUse;
    for (const item of list.children) {
      const name = (item as HTMLElement).dataset.name ?? "";
      const own = counts?.[name] ?? 0;
      item.querySelector(".teach-count")!.textContent = own === 1 ? "1 picture" : `${count(own)} pictures`;
      item.querySelector<HTMLInputElement>(".teach-add")!.disabled = !allowed.canAdd;
      item.querySelector<HTMLButtonElement>(".teach-take")!.disabled = !allowed.canTake;
      item.querySelector<HTMLButtonElement>(".teach-remove")!.disabled = !allowed.canRemove(name);
    }
  }

  function say(text: string, state = "idle"): void {
    chip.textContent = text;
    chip.dataset.state = state;
  }

  /** One thing at a time; what fails is told here. */
  async function doing(what: string, failed: string, job: (progress: Progress, signal: AbortSignal) => Promise<void>) {
    clearErrors(errors);
    const controller = new AbortController();
    const wait = beginWait(waits, what, () => controller.abort());
    busy = true;
    arrange();
    try {
      await job((share) => wait.doing(what, share), controller.signal);
    } catch (error) {
      if (!isAbort(error)) showError(errors, failed, error);
    } finally {
      wait.end();
      busy = false;
      arrange();
    }
  }

  const setUp = () =>
    doing("Preparing the features", "Could not set up the classes", async () => {
      const network = current.get()?.network;
      if (!network) return;
      await checkSize(network);
      const classes = names.value.split(",").map((name) => name.trim());
      const next = await network.transfer({ classes, validation: HELD_OUT, ...(from.value && { from: from.value }) });
      forget();
      learner = next;
      list.replaceChildren(...classes.map(classItem));
      say(`${classes.length} classes on ${network.name}`);
    });

  /** Some networks take digits of one size, and do not resize. */
  async function checkSize(network: Network): Promise<void> {
    try {
      await network.classify(make("canvas", { width: SIDE, height: SIDE }));
    } catch (error) {
      if ((error as { code?: string }).code !== "shape") throw error;
      throw new Error(
        `${network.name}, as it is in use, takes pictures of one size only: choose another network below`,
      );
    }
  }

  function forget(): void {
    learner?.dispose();
    taught?.dispose();
    taught = undefined;
    answer.hidden = true;
  }

  function classItem(name: string): HTMLLIElement {
    const input = make("input", { type: "file", accept: "image/*", multiple: true, className: "teach-add" });
    const add = make("label", { className: "button" }, "Add pictures…", input);
    const take = make("button", { type: "button", className: "teach-take", textContent: "Take one" });
    const remove = make("button", { type: "button", className: "teach-remove quiet", textContent: "Remove the last" });
    input.ariaLabel = `Add pictures of ${name}`;
    take.ariaLabel = `Take a picture of ${name} with the camera`;
    remove.ariaLabel = `Remove the last picture of ${name}`;
    const title = make("span", { className: "teach-name", textContent: name });
    const number = make("span", { className: "teach-count" });
    const item = make("li", {}, title, number, make("span", { className: "actions" }, add, take, remove));
    item.dataset.name = name;

    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      input.value = ""; // lets the user choose these files again
      void addAll(name, files);
    });
    take.addEventListener("click", () => {
      const frame = camera.frame();
      if (frame) void addAll(name, [frame]);
    });
    remove.addEventListener("click", () => {
      learner?.remove(name);
      arrange();
    });
    item.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation(); // elsewhere a dropped picture is one to look at
      if (!busy) void addAll(name, [...(event.dataTransfer?.files ?? [])]);
    });
    return item;
  }

  /** Pictures that cannot be read are skipped, counted and listed. */
  const addAll = (name: string, pictures: Picture[]) =>
    doing(`Looking at pictures of ${name}`, "Could not add the pictures", async (progress, signal) => {
      const skipped: string[] = [];
      for (const [i, picture] of pictures.entries()) {
        if (signal.aborted) return;
        try {
          await learner?.add(name, picture);
        } catch (error) {
          if ((error as { code?: string }).code !== "argument") throw error;
          skipped.push(picture instanceof File ? picture.name : "the camera's");
        }
        progress((i + 1) / pictures.length);
      }
      if (skipped.length > 0) {
        const what = `${skipped.length} of ${pictures.length} pictures skipped`;
        showError(errors, what, `could not be read: ${skipped.join(", ")}`);
      }
    });

  const learn = () =>
    doing("Learning", "Could not learn", async (progress, signal) => {
      if (!learner) return;
      const started = performance.now();
      const all = epochs.valueAsNumber;
      let right: number | undefined;
      say("learning", "training");
      try {
        for await (const report of learner.fit({ epochs: all, signal })) {
          right = report.validation?.top1 ?? right;
          progress(report.epoch / all);
        }
      } catch (error) {
        say("stopped", isAbort(error) ? "idle" : "failed");
        throw error;
      }
      const seconds = (performance.now() - started) / 1000;
      const network = await learner.network();
      taught?.dispose();
      taught = network;
      const judged = right === undefined ? "" : `, ${percent(right)} of the held-out pictures right`;
      say(`learnt in ${seconds.toFixed(1)} s${judged}`, "done");
    });

  async function classify(picture: Picture): Promise<void> {
    if (!taught) return;
    try {
      bars.show(await taught.classify(picture, { top: 10 }));
      answer.hidden = false;
    } catch (error) {
      camera.close();
      showError(errors, "Could not classify the picture", error);
    } finally {
      answer.ariaBusy = "false";
    }
  }

  /** A copy goes to the classifier, where it can be saved in every format. */
  const useIt = () =>
    doing("Handing the network over", "Could not use the network", async () => {
      if (!learner) return;
      const network = await learner.network();
      const source = await network.save();
      current.replace({ network, origin: `taught ${learner.classes.length} classes here`, source });
      byId("network").scrollIntoView({ block: "nearest" });
    });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!begin.disabled) void setUp();
  });
  learnButton.addEventListener("click", () => {
    if (epochs.reportValidity()) void learn();
  });
  test.addEventListener("change", () => {
    const picture = test.files?.[0];
    test.value = ""; // lets the user choose this file again
    if (!picture) return;
    camera.close(); // its pictures would take the answer's place
    clearErrors(errors);
    answer.ariaBusy = "true"; // until the answer belongs to this picture
    void classify(picture);
  });
  use.addEventListener("click", () => void useIt());
  current.onChange(({ network }) => {
    const layers = network.layers.map(({ name }) => make("option", { textContent: name, value: name }));
    from.replaceChildren(make("option", { textContent: "what its head sees", value: "" }), ...layers);
    arrange();
  });
}

type Progress = (share: number) => void;
