// The actions that teaching own classes allows at each point. Nothing here touches the page or the engine.

export interface TeachingSession {
  /** Whether a job is running: adding pictures, learning, handing over. */
  busy: boolean;
  /** Whether there is a network to learn from. */
  hasNetwork: boolean;
  /** Pictures of each class; undefined before the classes are set up. */
  counts: Readonly<Record<string, number>> | undefined;
  /** Whether the classes have been learnt. */
  isTaught: boolean;
  isCameraOpen: boolean;
}

export interface TeachingControls {
  canSetUp: boolean;
  canLearn: boolean;
  /** Trying the taught network on a picture, and using it. */
  canUse: boolean;
  canAdd: boolean;
  /** Taking a picture with the camera. */
  canTake: boolean;
  canRemove(name: string): boolean;
}

export function controls({ busy, hasNetwork, counts, isTaught, isCameraOpen }: TeachingSession): TeachingControls {
  const numbers = Object.values(counts ?? {});
  return {
    canSetUp: !busy && hasNetwork,
    canLearn: !busy && numbers.length > 0 && !numbers.includes(0),
    canUse: !busy && isTaught,
    canAdd: !busy,
    canTake: !busy && isCameraOpen,
    canRemove: (name) => !busy && (counts?.[name] ?? 0) > 0,
  };
}
