import * as Comlink from "comlink";
import { expect, test } from "vitest";
import { probe } from "../src/node.js";

test("the wasm module answers in Node", async () => {
  expect(typeof Comlink.wrap).toBe("function");
  expect((await probe()).sum).toBe(6);
});
