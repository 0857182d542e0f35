// The network in use: its description, its layers, its file.
import { type LoadOptions, Network, type Progress } from "convoke";
import alexnetUrl from "../../models/alexnet-fashion-mnist.safetensors?url";
import densenetUrl from "../../models/densenet22-fashion-mnist.safetensors?url";
import googlenetUrl from "../../models/googlenet-fashion-mnist.safetensors?url";
import clothesUrl from "../../models/lenet5-fashion-mnist.safetensors?url";
import shippedUrl from "../../models/lenet5-mnist.safetensors?url";
import ninUrl from "../../models/nin-fashion-mnist.safetensors?url";
import photographsUrl from "../../models/resnet20-cifar10.safetensors?url";
import residualUrl from "../../models/resnet20-fashion-mnist.safetensors?url";
import vggUrl from "../../models/vgg9-fashion-mnist.safetensors?url";
import type { Forced } from "./address.js";
import type { Current, CurrentNetwork } from "./current.js";
import { byId, make } from "./dom.js";
import { clearErrors, isAbort, showError } from "./errors.js";
import { saveFile } from "./files.js";
import { showLayers } from "./layers.js";
import { count, shape } from "./text.js";
import { beginWait } from "./waits.js";

/** How the origin of a file of the user's begins. */
const OWN = "from the file";

/** The trained networks of the picker. */
const trained = [
  ["LeNet-5: digits (MNIST)", shippedUrl],
  ["LeNet-5: clothes (Fashion-MNIST)", clothesUrl],
  ["ResNet-20: clothes (Fashion-MNIST)", residualUrl],
  ["AlexNet, scaled: clothes (Fashion-MNIST)", alexnetUrl],
  ["GoogLeNet, scaled: clothes (Fashion-MNIST)", googlenetUrl],
  ["VGG, scaled: clothes (Fashion-MNIST)", vggUrl],
  ["DenseNet of 22 layers: clothes (Fashion-MNIST)", densenetUrl],
  ["Network in Network: clothes (Fashion-MNIST)", ninUrl],
  ["ResNet-20: photographs (CIFAR-10)", photographsUrl],
] as const;

/** Returns what brings the network back after its worker has crashed. */
export function setUpNetwork(current: CurrentNetwork, forced: Forced): () => void {
  const errors = byId("network-errors");
  const shipped = byId("shipped", HTMLButtonElement);
  const file = byId("file", HTMLInputElement);
  const picker = byId("picker", HTMLSelectElement);
  const arch = byId("arch", HTMLSelectElement);
  const saves = ["save", "save-int8", "save-onnx"].map((id) => byId(id, HTMLButtonElement));

  async function load(source: Current["source"], what: string, origin: string): Promise<void> {
    clearErrors(errors);
    clearErrors(byId("classify-errors"));
    const atStart = current.get() === undefined;
    const controller = new AbortController();
    const wait = beginWait(byId(atStart ? "classify-waits" : "network-waits"), what, () => controller.abort());
    try {
      const backend = current.get()?.network.backend;
      const options = {
        ...(backend ? { backend } : { backend: "cpu" as const }),
        ...forced,
        signal: controller.signal,
        onProgress: (progress: Progress) => wait.progress(progress),
      };
      const isCreated = typeof source === "object" && "create" in source;
      const network = isCreated
        ? await Network.create(source.create, { ...options, seed: 1 })
        : await Network.load(source, { ...options, ...(origin.startsWith(OWN) && own(source)) });
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

  /** Returns the options for loading a file of the user's. */
  function own(source: Current["source"]): LoadOptions {
    if (source instanceof File && source.name.toLowerCase().endsWith(".onnx")) return { format: "onnx" };
    return arch.value ? { arch: arch.value } : {};
  }

  async function save(button: string): Promise<void> {
    const now = current.get();
    if (!now) return;
    clearErrors(errors);
    const wait = beginWait(byId("network-waits"), "Preparing the file");
    try {
      const { network } = now;
      if (button === "save-onnx") saveFile(await network.toOnnx(), `${network.name}.onnx`);
      else if (button === "save-int8")
        saveFile(await network.save({ quantize: "int8" }), `${network.name}-int8.safetensors`);
      else saveFile(await network.save(), `${network.name}.safetensors`);
    } catch (error) {
      showError(errors, "Could not save", error);
    } finally {
      wait.end();
    }
  }

  const loadShipped = () => load(shippedUrl, "The network's weights", "shipped with this page");
  const loadFile = (chosen: File) => load(chosen, chosen.name, `${OWN} ${chosen.name}`);

  async function listNetworks(): Promise<void> {
    const option = (label: string, value: string) => make("option", { textContent: label, value });
    const names = await Network.networks();
    arch.append(...names.map((name) => option(name, name)));
    picker.append(
      make("optgroup", { label: "Trained" }, ...trained.map(([label, url]) => option(label, url))),
      make("optgroup", { label: "With random weights" }, ...names.map((name) => option(name, name))),
    );
  }

  picker.addEventListener("change", () => {
    const { value } = picker;
    const label = picker.selectedOptions[0]?.textContent ?? value;
    if (trained.some(([, url]) => url === value)) void load(value, label, "shipped with this page");
    else if (value) void load({ create: value }, label, "random weights: its answers mean nothing yet");
  });

  shipped.addEventListener("click", loadShipped);
  for (const button of saves) button.addEventListener("click", () => void save(button.id));
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    file.value = ""; // lets the user choose this file again
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
    if (dropped.type.startsWith("image/")) return; // one to look at
    void loadFile(dropped);
  });

  current.onChange((now) => {
    for (const button of saves) button.disabled = false;
    shipped.hidden = now.source === shippedUrl;
    const { source } = now;
    picker.value = typeof source === "string" ? source : "create" in source ? source.create : "";
    byId("network-line").textContent = describe(now);
    showProvenance(now.network);
    showLayers(byId("layers"), byId("layers-total"), now.network);
  });

  void loadShipped();
  // The engine is asked once it runs anyway.
  const stopWaiting = current.onChange(() => {
    stopWaiting();
    listNetworks().catch((error) => showError(errors, "Could not list the networks", error));
  });
  return () => {
    const now = current.get();
    if (now) void load(now.source, "The network", now.origin);
  };
}

/** Shows the provenance that the file records of its training. */
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
