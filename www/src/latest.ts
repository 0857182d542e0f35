/** Runs one job at a time; of the inputs that come meanwhile only the latest is taken next. */
export function latestOnly<T>(job: (input: T) => Promise<void>): (input: T) => void {
  let running = false;
  let next: { input: T } | undefined;

  async function drain(): Promise<void> {
    running = true;
    while (next) {
      const { input } = next;
      next = undefined;
      await job(input);
    }
    running = false;
  }

  return (input) => {
    next = { input };
    if (!running) void drain();
  };
}
