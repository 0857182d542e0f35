import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["**/*.test.ts"],
    globalSetup: "./serve.ts",
    fileParallelism: false, // one browser at a time
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
