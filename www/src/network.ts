// The network in use: what it is, its layers, its file.
import { Network } from "convoke";
import shippedUrl from "../../models/lenet5-mnist.safetensors?url";
import type { Forced } from "./address.js";
import type { Current, CurrentNetwork } from "./current.js";
import { byId, make } from "./dom.js";
import { clearErrors, isAbort, showError } from "./errors.js";
import { saveFile } from "./files.js";
import { showLayers } from "./layers.js";
import { count, shape } from "./text.js";
import { beginWait } from "./waits.js";

/** Returns what brings the network back after its worker has crashed. */
export function setUpNetwork(current: CurrentNetwork, forced: Forced): () => void {
  const errors = byId("network-errors");
  const shipped = byId("shipped", HTMLButtonElement);
  const file = byId("file", HTMLInputElement);
  const saves = [byId("save", HTMLButtonElement), byId("save-int8", HTMLButtonElement)];

  async function load(source: Current["source"], what: string, origin: string): Promise<void> {
    clearErrors(errors);
    clearErrors(byId("classify-errors"));
    const atStart = current.get() === undefined;
    const controller = new AbortController();
    const wait = beginWait(byId(atStart ? "classify-waits" : "network-waits"), what, () => controller.abort());
    try {
      const backend = current.get()?.network.backend;
      const network = await Network.load(source, {
        ...(backend ? { backend } : { backend: "cpu" }),
        ...forced,
        signal: controller.signal,
        onProgress: (progress) => wait.progress(progress),
      });
      current.replace({ network, origin, source });
    } catch (error) {
      const again = { label: "Try again", run: () => void load(source, what, origin) };
      const place = atStart ? byId("classify-errors") : errors;
      const failed = isAbort(error) ? what : `Could not load ${what.toLowerCase()}`;
      showError(place, failed, error, ...(typeof source === "string" ? [again] : []));
      if (atStart) byId("engine").textContent = "There is no network yet: load one, or train one.";
    } finally {
      wait.end();
    }
  }

  async function save(quantize: boolean): Promise<void> {
    const now = current.get();
    if (!now) return;
    clearErrors(errors);
    const wait = beginWait(byId("network-waits"), "Preparing the file");
    try {
      const bytes = await now.network.save(quantize ? { quantize: "int8" } : {});
      saveFile(bytes, `${now.network.name}${quantize ? "-int8" : ""}.safetensors`);
    } catch (error) {
      showError(errors, "Could not save", error);
    } finally {
      wait.end();
    }
  }

  const loadShipped = () => load(shippedUrl, "The network's weights", "shipped with this page");
  const loadFile = (chosen: File) => load(chosen, chosen.name, `from the file ${chosen.name}`);

  shipped.addEventListener("click", loadShipped);
  for (const button of saves) button.addEventListener("click", () => void save(button.id === "save-int8"));
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    file.value = ""; // the same file can be chosen again
    if (chosen) void loadFile(chosen);
  });
  // Dropping a file anywhere opens it.
  addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    const dropped = event.dataTransfer?.files[0];
    if (!dropped) return;
    event.preventDefault();
    void loadFile(dropped);
  });

  current.onChange((now) => {
    for (const button of saves) button.disabled = false;
    shipped.hidden = typeof now.source === "string";
    byId("network-line").textContent = describe(now);
    showProvenance(now.network);
    showLayers(byId("layers"), byId("layers-total"), now.network);
  });

  void loadShipped();
  return () => {
    const now = current.get();
    if (now) void load(now.source, "The network", now.origin);
  };
}

/** What the file itself says of its training. */
function showProvenance({ provenance }: Network): void {
  const entries = Object.entries(provenance);
  byId("provenance").hidden = entries.length === 0;
  const rows = entries.map(([name, value]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: String(value) })),
  );
  byId("provenance-list").replaceChildren(...rows);
}

function describe({ network, origin }: Current): string {
  const accuracy = /top-1 ([\d.]+ %)/.exec(String(network.provenance["accuracy-int8"] ?? network.provenance.accuracy));
  return [
    `${network.name}, ${origin}`,
    ...(accuracy ? [`${accuracy[1]} right when it was trained`] : []),
    `input ${shape(network.input)}`,
    `${count(network.parameters)} parameters`,
    `${count(network.macs)} multiply-adds per image`,
  ].join(" · ");
}
