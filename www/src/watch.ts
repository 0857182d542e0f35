// The feature maps and filters of a network in training, for one held-out image.
import type { Network, TrainingData } from "convoke";
import { byId, make } from "./dom.js";
import { draw } from "./inside.js";
import { prepared } from "./judge.js";

/** Milliseconds between updates, each of which takes a run of the network. */
const EVERY_MS = 2000;

/** Returns a function to call after each training step. */
export function watch(network: Network, heldOut: TrainingData): () => void {
  const choice = byId("watched-layer", HTMLSelectElement);
  const maps = network.layers.filter(({ kind, shape }) => kind === "conv2d" && shape.length === 3);
  choice.replaceChildren(...maps.map(({ name }) => make("option", { textContent: name, value: name })));
  const image = prepared(heldOut, 0, 1, network.input);
  let next = performance.now();
  let looking = false;

  async function look(): Promise<void> {
    looking = true;
    try {
      const name = choice.value;
      const weight = `${name}.weight`;
      const [seen, weights] = await Promise.all([network.activations(image, [name]), network.weights([weight])]);
      const [maps, filters] = [seen[name], weights[weight]];
      if (!maps || !filters) return;
      byId("watched-text").textContent = draw(byId("watched-maps", HTMLCanvasElement), name, "maps", maps);
      const { data, shape } = filters;
      const [out = 1, each = 1, h = 1, w = 1] = shape;
      const alone = { data, shape: [1, out * each, h, w] };
      byId("watched-filters-text").textContent = draw(
        byId("watched-filters", HTMLCanvasElement),
        weight,
        each > 1 ? "channels of filters" : "filters",
        alone,
      );
      byId("watched").hidden = false;
    } catch {
      // What stops the engine is told by the run itself.
    } finally {
      looking = false;
      next = performance.now() + EVERY_MS;
    }
  }

  choice.onchange = () => {
    next = 0;
  };
  return () => {
    if (!looking && maps.length > 0 && performance.now() >= next) void look();
  };
}
