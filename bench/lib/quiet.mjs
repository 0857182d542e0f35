// CPU used by processes that are not ours, in cores: a measurement counts as quiet when this is near 0. Linux only.
import fs from "node:fs";

export function snapshot() {
  if (!fs.existsSync("/proc/stat")) return null;
  const v = fs.readFileSync("/proc/stat", "utf8").split("\n")[0].split(/ +/).slice(1).map(Number);
  const busy = v[0] + v[1] + v[2] + v[5] + v[6] + v[7],
    parents = new Map(); // all but idle and waiting for disks
  for (const pid of fs.readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8"),
        f = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      parents.set(+pid, { parent: +f[1], cpu: +f[11] + +f[12] + +f[13] + +f[14] });
    } catch {
      /* it has ended meanwhile */
    }
  }
  let own = 0;
  for (const [pid, { cpu }] of parents) {
    let p = pid;
    while (p > 1 && p !== process.pid) p = parents.get(p)?.parent ?? 0;
    if (p === process.pid) own += cpu;
  }
  return { at: Date.now(), busy, own };
}

export function otherCores(a, b) {
  if (!a || !b || b.at === a.at) return null;
  return Math.max(0, (b.busy - a.busy - (b.own - a.own)) / ((b.at - a.at) / 10)); // 100 ticks a second
}
